// @ts-check
// A backend that does not exist: answers `/api` in `npm run dev` and in browser tests, with state in memory.
// Each site brings its routes, typed by the contract. Never part of a build.

/**
 * @typedef {{params: Record<string, string>, query: URLSearchParams, body: any, cookie: string, headers: import('node:http').IncomingHttpHeaders}} MockRequest
 * @typedef {{event?: string, id?: number, data: unknown}} MockEvent
 * @typedef {{status?: number, body?: unknown, headers?: Record<string, string>, stream?: (send: (event: MockEvent) => void) => () => void}} MockAnswer
 * @typedef {(request: MockRequest) => MockAnswer | Promise<MockAnswer>} MockHandler
 */

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/** A problem document to throw from a handler. */
export class MockProblem extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} title
   * @param {string} [detail]
   * @param {{pointer: string, detail: string}[]} [errors]
   */
  constructor(status, code, title, detail, errors) {
    super(title);
    this.status = status;
    this.document = {
      type: `https://terrace.dev/problems/${code}`,
      title,
      status,
      detail: detail ?? title,
      code,
      request_id: `req_mock${Math.random().toString(36).slice(2, 14).padEnd(12, '2')}`,
      ...(errors ? { errors } : {}),
    };
  }
}

/**
 * The Vite plugin. Besides the site's routes it answers `POST /api/mock {"scenario": "..."}`: `down` makes every call
 * fail as the edge does without a node, `slow` delays answers, `up` ends both; any other name goes to `scenario`.
 * @param {Record<string, MockHandler>} routes keys such as `GET /api/tasks/boards/:board`
 * @param {(name: string) => void} [scenario]
 * @returns {import('vite').Plugin}
 */
export function mockBackend(routes, scenario = () => {}) {
  const table = Object.entries(routes).map(([key, handler]) => {
    const [method = '', pattern = ''] = key.split(' ');
    return { method, pattern: pattern.split('/'), handler };
  });
  let down = false;
  let delay = 30;
  /** @type {Set<import('node:http').ServerResponse>} */
  const streams = new Set();

  /** @param {string} name */
  function change(name) {
    down = name === 'down';
    delay = name === 'slow' ? 60_000 : 30;
    if (down) for (const stream of streams) stream.destroy();
    if (!['up', 'down', 'slow'].includes(name)) scenario(name);
  }

  /**
   * @param {import('node:http').IncomingMessage} request
   * @param {import('node:http').ServerResponse} response
   */
  async function answer(request, response) {
    const url = new URL(request.url ?? '/', 'http://mock');
    const body = await readJson(request);
    if (url.pathname === '/api/mock') {
      change(body.scenario);
      return sendJson(response, 204, undefined);
    }
    await new Promise((resolve) => setTimeout(resolve, delay));
    if (down) throw new MockProblem(503, 'backend-unavailable', 'The backend is not available');
    const path = url.pathname.split('/');
    for (const { method, pattern, handler } of table) {
      const params = matchPath(pattern, path);
      if (!params || method !== request.method) continue;
      const cookie = request.headers.cookie ?? '';
      const result = await handler({ params, query: url.searchParams, body, cookie, headers: request.headers });
      if (result.stream) return openStream(response, result.stream);
      return sendJson(response, result.status ?? 200, result.body, result.headers);
    }
    throw new MockProblem(404, 'unknown-path', 'No service answers this path');
  }

  /**
   * @param {import('node:http').ServerResponse} response
   * @param {NonNullable<MockAnswer['stream']>} start
   */
  function openStream(response, start) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.flushHeaders();
    streams.add(response);
    const stop = start(({ event, id, data }) => {
      const lines = [event && `event: ${event}`, id !== undefined && `id: ${id}`, `data: ${JSON.stringify(data)}`];
      response.write(`${lines.filter(Boolean).join('\n')}\n\n`);
    });
    response.on('close', () => {
      streams.delete(response);
      stop();
    });
  }

  /** @type {import('vite').Connect.NextHandleFunction} */
  function handle(request, response, next) {
    if (!request.url?.startsWith('/api/')) return next();
    answer(request, response).catch((error) => {
      const problem = error instanceof MockProblem ? error : new MockProblem(500, 'internal', String(error));
      sendJson(response, problem.status, problem.document, { 'content-type': 'application/problem+json' });
    });
  }

  return {
    name: 'terrace:mock',
    configureServer: (server) => void server.middlewares.use(handle),
    // `vite preview` shows the built site, under the same policy that the edge sets.
    configurePreviewServer(server) {
      server.middlewares.use((request, response, next) => {
        response.setHeader('content-security-policy', POLICY);
        handle(request, response, next);
      });
    },
  };
}

/**
 * @param {string[]} pattern
 * @param {string[]} path
 */
function matchPath(pattern, path) {
  if (pattern.length !== path.length) return null;
  /** @type {Record<string, string>} */
  const params = {};
  for (const [index, part] of pattern.entries()) {
    const actual = path[index] ?? '';
    if (part.startsWith(':')) params[part.slice(1)] = decodeURIComponent(actual);
    else if (part !== actual) return null;
  }
  return params;
}

/** @param {import('node:http').IncomingMessage} request */
async function readJson(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return text ? JSON.parse(text) : undefined;
}

/**
 * @param {import('node:http').ServerResponse} response
 * @param {number} status
 * @param {unknown} body
 * @param {Record<string, string>} [headers]
 */
function sendJson(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}
