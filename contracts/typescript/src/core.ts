// What all operations have in common: one request, its problem, and the renewal of the session.

import type { FieldError, ProblemCode } from "./index";

export interface ClientOptions {
  /** Where the API is, without a slash at the end. Left out: this origin. */
  baseUrl?: string;
  /** The build that the page came from: every call says it, so that old pages can be served right. */
  build?: string;
  /** Another fetch, for tests. */
  fetch?: typeof fetch;
  /** Where to renew a session that has expired; null when there is no such thing. */
  refresh?: string | null;
}

export interface RequestOptions {
  signal?: AbortSignal;
  /** Change only this version: sent as If-Match. */
  ifMatch?: number;
  /** Left out, each call has a key of its own where the contract takes one. */
  idempotencyKey?: string;
}

export interface OperationRequest {
  method: string;
  path: string;
  public?: boolean;
  idempotent?: boolean;
  params?: Record<string, unknown>;
  query?: string[];
  body?: unknown;
}

interface ProblemInit {
  status: number;
  code: ProblemCode;
  title: string;
  detail?: string;
  requestId?: string;
  errors?: FieldError[];
  retryAfterMs?: number;
}

/** What every failed call throws. `status` is 0 when no answer came at all. */
export class ProblemError extends Error {
  readonly status: number;
  readonly code: ProblemCode;
  readonly title: string;
  readonly detail: string | undefined;
  readonly requestId: string | undefined;
  readonly errors: FieldError[];
  readonly retryAfterMs: number | undefined;

  constructor(init: ProblemInit, options?: ErrorOptions) {
    super(init.detail ?? init.title, options);
    this.name = "ProblemError";
    this.status = init.status;
    this.code = init.code;
    this.title = init.title;
    this.detail = init.detail;
    this.requestId = init.requestId;
    this.errors = init.errors ?? [];
    this.retryAfterMs = init.retryAfterMs;
  }

  /** What is wrong with one field, by its JSON pointer. */
  field(pointer: string): string | undefined {
    return this.errors.find((error) => error.pointer === pointer)?.detail;
  }
}

export class Core {
  readonly options: ClientOptions;
  #renewal: Promise<boolean> | null = null;

  constructor(options: ClientOptions) {
    this.options = options;
  }

  async request<T>(operation: OperationRequest, options: RequestOptions = {}): Promise<T> {
    const headers = new Headers({ accept: "application/json" });
    const init: RequestInit = { method: operation.method, headers };
    if (options.signal) init.signal = options.signal;
    if (operation.body !== undefined) {
      headers.set("content-type", "application/json");
      init.body = JSON.stringify(operation.body);
    }
    if (options.ifMatch !== undefined) headers.set("if-match", `"${options.ifMatch}"`);
    // One key for the call, not for the attempt: a repetition after a renewal happens once.
    if (operation.idempotent) headers.set("idempotency-key", options.idempotencyKey ?? crypto.randomUUID());
    const response = await this.send(address(operation), init, !operation.public);
    if (!response.ok) throw await problem(response);
    if (response.status === 204) return undefined as T;
    return (await response.json()) as T;
  }

  /** A request whose session is renewed once when it has expired. */
  async send(path: string, init: RequestInit, renewable: boolean): Promise<Response> {
    const response = await this.#fetch(path, init);
    if (response.status !== 401 || !renewable || this.options.refresh === null) return response;
    const { code } = await problem(response.clone());
    if (code !== "token-expired" && code !== "unauthenticated") return response;
    return (await this.#renew()) ? this.#fetch(path, init) : response;
  }

  /** True when there is a session again, false when somebody must sign in. One at a time. */
  #renew(): Promise<boolean> {
    this.#renewal ??= this.#fetch(this.options.refresh ?? "/api/identity/session/refresh", { method: "POST" })
      .then(async (response) => {
        if (response.ok) return true;
        if (response.status === 401) return false;
        // The session may still be good: whoever cannot say so must not sign anybody out.
        throw await problem(response);
      })
      .finally(() => {
        this.#renewal = null;
      });
    return this.#renewal;
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.options.build) headers.set("x-terrace-build", this.options.build);
    const send = this.options.fetch ?? globalThis.fetch;
    try {
      return await send(`${this.options.baseUrl ?? ""}${path}`, { ...init, headers, credentials: "same-origin" });
    } catch (cause) {
      if (init.signal?.aborted) throw cause;
      const title = "No connection to the server";
      throw new ProblemError({ status: 0, code: "backend-unavailable", title }, { cause });
    }
  }
}

function address(operation: OperationRequest): string {
  const params = operation.params ?? {};
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params[name])));
  const query = new URLSearchParams();
  for (const name of operation.query ?? []) {
    const value = params[name];
    if (value !== undefined && value !== null) query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** What an answer that is no success says of itself. */
export async function problem(response: Response): Promise<ProblemError> {
  const retryAfter = Number(response.headers.get("retry-after"));
  const init: ProblemInit = { status: response.status, code: "internal", title: `The server answered ${response.status}` };
  if (retryAfter > 0) init.retryAfterMs = retryAfter * 1000;
  try {
    const body: unknown = await response.json();
    if (typeof body === "object" && body !== null && "code" in body) {
      const said = body as { code: ProblemCode; title?: string; detail?: string; request_id?: string; errors?: FieldError[] };
      init.code = said.code;
      init.title = said.title ?? init.title;
      if (said.detail !== undefined) init.detail = said.detail;
      if (said.request_id !== undefined) init.requestId = said.request_id;
      if (said.errors !== undefined) init.errors = said.errors;
    }
  } catch {
    // Not a problem document: something between here and the platform answered.
    if (response.status >= 502 && response.status <= 504) init.code = "backend-unavailable";
  }
  return new ProblemError(init);
}
