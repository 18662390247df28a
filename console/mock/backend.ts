// A control API in memory, for `npm run dev` and browser tests: the same contract, and traffic that moves.
import type { Build, Cluster, CreateTenant, Meters, MetersError, Operation, Release, ReleaseFacts, RenameTenant, Service, Site, Tenant, TenantDatabase } from '@terrace/client/control';
import { mockBackend, MockProblem, type MockRequest } from '@terrace/site/mock';
import type { Plugin } from 'vite';

const PASSWORD = 'terrace-demo-2026';
const OPERATOR = { email: 'operator@terrace.example', name: 'Olive Operator' };
const HOUR = 3_600_000;

const back = (ms: number) => new Date(Date.now() - ms).toISOString();

function tenant(id: string, slug: string, name: string, plan: Tenant['plan'], age: number, state: Tenant['state'] = 'active'): Tenant {
  return {
    id,
    slug,
    name,
    plan,
    state,
    host: `${slug}.localhost`,
    placement: { cluster: 'main', lane: 'l_7f3k9q', schemas: ['billing', 'identity', 'tasks'].map((service) => `${id}_${service}`) },
    created_at: back(age),
  };
}

function release(service: string, id: string, age: number, state: Release['state'], size_bytes: number, capabilities: string[]): Release {
  const sha256 = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08';
  const error = state === 'failed' ? 'the release does not answer its first request: the service trapped' : null;
  return { id, service, state, size_bytes, sha256, capabilities, uploaded_by: 'operator@terrace.example', error, created_at: back(age) };
}

function service(name: string, title: string, releases: Release[]): Service {
  const current = releases.find(({ state }) => state === 'active') ?? null;
  const previous = releases.find(({ state }) => state === 'retained')?.id ?? null;
  const canary = releases.find(({ state }) => state === 'canary');
  const by = 'operator@terrace.example';
  const history = releases
    .filter(({ state }) => state !== 'uploaded')
    .map(({ id, state, error, created_at }) => {
      const happened = { failed: 'rolled-back-by-budget', canary: 'canary-started' }[state as string] ?? 'deployed';
      return { release: id, happened, detail: error ?? '', by: state === 'failed' ? 'terrace' : by, at: created_at };
    });
  return { name, title, current, previous, canary: canary ? { release: canary.id, share_percent: 5, tenants: 1, since: canary.created_at } : null, releases, history };
}

/** What is known of a release: the newer it is, the more it asks for. */
function facts(of: Service, release: Release): ReleaseFacts {
  const served = of.current;
  const same = served?.id === release.id;
  const added = release.capabilities.filter((name) => !served?.capabilities.includes(name));
  const gone = (served?.capabilities ?? []).filter((name) => !release.capabilities.includes(name));
  const isCanary = release.state === 'canary';
  return {
    release,
    component_sha256: '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae',
    contract_sha256: 'fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9',
    imports: ['terrace:data/sql@0.1.0', 'terrace:events/outbox@0.1.0', 'wasi:http/types@0.2.6'],
    limits: { cpu_ms: 200, wall_ms: 10_000, memory_mib: 64 },
    migrations: ['0001_create_boards.sql', '0002_comments.sql'],
    manifest: `name = "${of.name}"\n`,
    diff: {
      against: served?.id ?? null,
      same,
      breaking: isCanary,
      asks: [...added.map((name) => ({ kind: 'capability', name })), ...(isCanary ? [{ kind: 'http', name: 'api.example.com' }] : [])],
      drops: gone.map((name) => ({ kind: 'capability', name })),
      settings: [],
      migrations: isCanary ? [{ name: '0003_titles', takes_away: [], makes_wait: [] }] : [],
      contract: isCanary ? [{ breaking: true, place: 'GET /api/tasks/boards', detail: 'response 200: the field `title` is gone' }] : [],
    },
  };
}

function site(name: string, title: string, builds: [id: string, age: number, files: number, size_bytes: number][]): Site {
  const all = builds.map(([id, age, files, size_bytes], index): Build => {
    return { id, site: name, state: index === 0 ? 'active' : 'retained', files, size_bytes, created_at: back(age) };
  });
  return { name, title, current: all[0] ?? null, builds: all };
}

const STEPS: Record<string, string[]> = {
  create: ['claimed', 'hooked', 'active'],
  suspend: ['suspended', 'quiet'],
  resume: ['served', 'resumed'],
  plan: ['planned', 'told'],
  rename: ['reserved', 'renamed'],
};

function find<T>(list: T[], is: (one: T) => boolean): T {
  const found = list.find(is);
  if (!found) throw new MockProblem(404, 'not-found', 'Not found');
  return found;
}

class World {
  tenants: Tenant[] = [];
  operations: Operation[] = [];
  services: Service[] = [];
  sites: Site[] = [];
  clusters: Cluster[] = [{ name: 'main', state: 'up', database: 'terrace', version: '15.14', region: '', plans: null, draining: false, movable: true, lanes: 1, tenants: 4, size_bytes: 41_206_000 }];
  errors: MetersError[] = [];

  /** Changes a tenant, and puts on record that somebody did. */
  change(id: string | undefined, kind: Operation['kind'], change: Partial<Tenant>): Tenant {
    const found = find(this.tenants, (one) => one.id === id || one.slug === id);
    Object.assign(found, change);
    this.record(found, kind, 0);
    return found;
  }

  record(of: Tenant, kind: Operation['kind'], age: number): void {
    this.operations.unshift({
      id: this.operations.length + 1,
      tenant: of.id,
      slug: of.slug,
      kind,
      state: 'done',
      steps: (STEPS[kind] ?? []).map((step) => ({ step, at: back(age) })),
      remaining: [],
      actor: OPERATOR.name,
      error: null,
      attempts: 0,
      retry_at: null,
      started_at: back(age),
      finished_at: back(age),
      evidence: {},
    });
  }

  constructor(readonly busy: boolean) {
    if (!busy) return;
    this.tenants = [
      tenant('t_7f3k9q2m', 'acme', 'Acme', 'free', 50 * HOUR),
      tenant('t_b4n8x2wd', 'globex', 'Globex', 'team', 49 * HOUR),
      tenant('t_m6p3r9ke', 'initech', 'Initech', 'free', 5 * HOUR),
      tenant('t_z2v7h5cs', 'umbrella', 'Umbrella Health Services', 'team', 300 * HOUR, 'suspended'),
    ];
    for (const one of this.tenants) this.record(one, 'create', Date.now() - Date.parse(one.created_at));
    const data = ['sql', 'events', 'clock', 'log'];
    this.services = [
      service('billing', 'Billing', [release('billing', 'r_8c2m4x7q9d', 3 * HOUR, 'active', 512_331, data)]),
      service('identity', 'Identity', [
        release('identity', 'r_3k9f7w2nbe', 30 * HOUR, 'active', 548_202, [...data, 'password', 'token']),
        release('identity', 'r_x5h2j8m3qa', 80 * HOUR, 'retained', 541_077, [...data, 'password', 'token']),
      ]),
      service('tasks', 'Tasks', [
        release('tasks', 'r_k2v8c4m6xq', HOUR / 6, 'canary', 640_112, [...data, 'calls', 'http']),
        release('tasks', 'r_q7d4n2v9kc', HOUR / 3, 'failed', 630_900, [...data, 'calls']),
        release('tasks', 'r_7f3k9q2m4x', 2 * HOUR, 'active', 618_412, [...data, 'calls']),
        release('tasks', 'r_w9b6t3z8hf', 26 * HOUR, 'retained', 611_030, [...data, 'calls']),
      ]),
    ];
    this.sites = [
      site('console', 'Terrace Console', [['b_0d4f7a91c2e85b36', 2 * HOUR, 6, 214_000]]),
      site('tasks', 'Tasks', [
        ['b_5e81bb02f6a3c947', 2 * HOUR, 6, 187_000],
        ['b_c71930ad4be82f65', 40 * HOUR, 6, 183_400],
      ]),
    ];
    const fail = (age: number, of: number, name: string, path: string, status: number, code: string): MetersError => ({
      at: back(age),
      request_id: `req_${(status * 7919 + age).toString(32).padStart(16, '7k2m9qx4w8bd3n5f').slice(-16)}`,
      tenant: this.tenants[of]?.id ?? '',
      service: name,
      method: 'POST',
      path,
      status,
      code,
    });
    this.errors = [
      fail(8000, 1, 'tasks', '/api/tasks/boards/4/tasks', 504, 'service-cpu-limit'),
      fail(21_000, 1, 'tasks', '/api/tasks/boards/4/tasks', 504, 'service-cpu-limit'),
      fail(44_000, 0, 'identity', '/api/identity/session', 503, 'service-overloaded'),
    ];
  }

  /** The last minute as a function of the time, so that it moves and two windows agree. */
  meters(): Meters {
    const second = Math.floor(Date.now() / 1000);
    const series = Array.from({ length: 60 }, (_, index) => {
      const at = second - 59 + index;
      const wave = 42 + 16 * Math.sin(at / 7) + 9 * Math.sin(at / 2.3) + ((at * 7919) % 13);
      const errors = at % 29 === 0 ? 2 : 0;
      const p99_ms = 6 + 2 * Math.sin(at / 5) + ((at * 104_729) % 7) / 2;
      return { at: new Date(at * 1000).toISOString(), requests: this.busy ? Math.round(wave) : 0, errors: this.busy ? errors : 0, p99_ms: this.busy ? p99_ms : 0 };
    });
    const requests = series.reduce((sum, point) => sum + point.requests, 0);
    const errors = series.reduce((sum, point) => sum + point.errors, 0);
    const part = (of: number, failed: number, p50_ms: number, p99_ms: number) => {
      const count = Math.round(requests * of);
      return { requests: count, errors: failed, rate_per_second: count / 60, p50_ms, p99_ms };
    };
    return {
      at: new Date().toISOString(),
      window_seconds: 60,
      totals: part(1, errors, this.busy ? 1.84 : 0, this.busy ? 8.2 : 0),
      tenants: this.tenants
        .filter(({ state }) => state === 'active')
        .map(({ id, slug }, index) => ({ tenant: id, slug, ...part([0.62, 0.31, 0.07][index] ?? 0, index === 1 ? errors : 0, 1.7 + index / 3, 7.9 + index * 3.3) })),
      services: this.busy
        ? [
            { service: 'tasks', ...part(0.71, errors, 2.12, 9.4) },
            { service: 'identity', ...part(0.21, 0, 1.08, 5.1) },
            { service: 'billing', ...part(0.08, 0, 1.44, 4.2) },
          ]
        : [],
      series,
      errors: this.errors,
    };
  }
}

/** How a tenant's data is doing. The first has traffic and a lock, the third a migration to come, the last nothing. */
function database(of: Tenant, index: number): TenantDatabase {
  const scale = [1, 40, 0.2, 0][index] ?? 0;
  const schema = (service: string, tables: number, rows: number, version: number, current = version): TenantDatabase['schemas'][number] => ({
    service,
    schema: `${of.id}_${service}`,
    size_bytes: 90_000 * tables + Math.round(rows * scale) * 220,
    tables,
    indexes: tables * 2,
    live_rows: Math.round(rows * scale),
    dead_rows: Math.round(rows * scale * 0.02),
    state: version < current ? 'behind' : 'current',
    version,
    current,
    release: 'r_7f3k9q2m4x',
    migrated_at: back(26 * HOUR),
  });
  const schemas = [schema('billing', 2, 40, 1), schema('identity', 3, 310, 4), schema('tasks', 6, 18_400, index === 2 ? 6 : 7, 7)];
  const sum = (figure: (one: TenantDatabase['schemas'][number]) => number) => schemas.reduce((total, one) => total + figure(one), 0);
  const statement = (service: string, fingerprint: string, calls: number, mean_ms: number, max_ms: number, text: string, failures = 0): TenantDatabase['statements'][number] => ({
    service,
    fingerprint,
    text,
    calls,
    failures,
    total_ms: calls * mean_ms,
    mean_ms,
    max_ms,
  });
  const statements = [
    statement('tasks', '9c1f03ab77e2d410', 1_204, 14.21, 812.4, 'SELECT t.id, t.title, t.list, t.position, t.assignee, (SELECT count(*) FROM comment AS c WHERE c.task = t.id) AS comments FROM task AS t WHERE t.board = $1 ORDER BY t.list, t.position', 2),
    statement('tasks', '50fde20626009aba', 48_310, 0.21, 9.8, 'SELECT id, title FROM board WHERE id = $1'),
    statement('tasks', '2b7ce5d190a44f03', 9_114, 0.84, 44.1, 'UPDATE task SET list = $1, position = $2, updated_at = now(), version = version + $3 WHERE id = $4 AND version = $5 RETURNING *', 31),
    statement('identity', 'd03ef7719a65c2b8', 12_002, 0.19, 3.2, 'SELECT id, name, role, password_hash FROM member WHERE lower(email) = lower($1)'),
    statement('identity', '71a0c4b2e85d9f36', 4_410, 0.33, 5.1, 'INSERT INTO refresh_token (hash, member, family, expires_at) VALUES ($1, $2, $3, $4)'),
    statement('billing', 'ee14b09c3f7a2d58', 1_800, 0.41, 6.6, 'INSERT INTO meter (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = meter.value + excluded.value'),
    statement('tasks', '08c6d1f4a93b7e25', 902, 0.52, 4.9, 'SELECT id, author, text, created_at FROM comment WHERE task = $1 ORDER BY created_at'),
    statement('tasks', 'b5520e9f1d8c6a47', 310, 1.1, 12.9, 'DELETE FROM task WHERE id = $1'),
    statement('tasks', '3fa8806e7c2b91d4', 44, 2.4, 10.2, 'SELECT name, value, limit_value FROM counter'),
  ];
  return {
    at: back(0),
    cluster: 'main',
    size_bytes: sum((one) => one.size_bytes),
    index_bytes: Math.round(sum((one) => one.size_bytes) * 0.31),
    exact: index !== 0,
    live_rows: sum((one) => one.live_rows),
    dead_rows: sum((one) => one.dead_rows),
    cache_hit_ratio: scale ? 0.9934 : null,
    longest_transaction_ms: index === 0 ? 2_410 : null,
    lock_waits: index === 0 ? [{ schema: `${of.id}_tasks`, table: 'task', target: 'relation', mode: 'RowExclusiveLock', waited_ms: 2_180, blockers: 1 }] : [],
    schemas,
    connections: { in_flight: scale ? 3 : 0, waiting: index === 0 ? 2 : 0, lane_in_use: scale ? 5 : 0, lane_idle: 4, lane_limit: 16 },
    counts: { statements: Math.round(90_210 * scale), failures: 44, refused: 0, lock_timeouts: index === 0 ? 3 : 0, timeouts: index === 0 ? 1 : 0, conflicts: 2 },
    statements: scale ? statements : [],
    other_calls: scale ? 611 : 0,
    other_ms: scale ? 204.4 : 0,
  };
}

/** The Vite plugin. Scenarios of `POST /api/mock`: `empty`, `sample`, and those of the mock server. */
export function mock(): Plugin {
  let world = new World(true);

  const allow = ({ cookie }: MockRequest) => {
    if (!/session=operator/.test(cookie)) throw new MockProblem(401, 'unauthenticated', 'Please sign in');
    return { operator: OPERATOR, expires_at: new Date(Date.now() + 12 * HOUR).toISOString() };
  };
  const find = <T>(list: T[], is: (one: T) => boolean): T => {
    const found = list.find(is);
    if (!found) throw new MockProblem(404, 'not-found', 'Not found');
    return found;
  };
  const happen = (of: Service, release: Release, happened: string) => {
    of.canary = null;
    of.history = [{ release: release.id, happened, detail: '', by: OPERATOR.email, at: back(0) }, ...of.history];
  };
  const switchTo = (name: string | undefined, id: unknown, happened: string) => {
    const found = find(world.services, (one) => one.name === name);
    const next = find(found.releases, (one) => one.id === id);
    for (const one of found.releases) if (one.state === 'active' || one.state === 'canary') one.state = 'retained';
    found.previous = happened === 'rolled-back' ? null : (found.current?.id ?? null);
    next.state = 'active';
    found.current = next;
    happen(found, next, happened);
    return { body: found };
  };
  const page = (items: unknown[]) => ({ body: { items, next_page_token: null } });

  return mockBackend(
    {
      'POST /api/control/session': ({ body }) => {
        if (body?.email !== OPERATOR.email || body?.password !== PASSWORD) {
          throw new MockProblem(401, 'unauthenticated', 'Not signed in', 'The address or the password is wrong.');
        }
        const headers = { 'set-cookie': 'session=operator; Path=/; HttpOnly; SameSite=Strict' };
        return { body: { operator: OPERATOR, expires_at: null }, headers };
      },
      'DELETE /api/control/session': () => ({ status: 204, headers: { 'set-cookie': 'session=; Path=/; Max-Age=0' } }),
      'GET /api/control/session': (request) => ({ body: allow(request) }),
      'GET /api/control/tenants': (request) => {
        allow(request);
        return page(world.tenants);
      },
      'POST /api/control/tenants': async (request) => {
        allow(request);
        const { slug, name, plan, owner } = request.body as CreateTenant;
        if (world.tenants.some((one) => one.slug === slug)) {
          throw new MockProblem(409, 'conflict', 'Conflict', 'The slug is taken.', [{ pointer: '/slug', detail: 'This slug is taken.' }]);
        }
        const created = tenant(`t_${Math.random().toString(32).slice(2, 10).padEnd(8, '2')}`, slug, name, plan === 'team' ? 'team' : 'free', 0);
        world.tenants = [...world.tenants, created].sort((a, b) => (a.slug < b.slug ? -1 : 1));
        const password = owner?.password ? {} : { password: 'violet-harbour-crisp-meadow-41' };
        return { status: 201, body: { ...created, ...(owner ? { owner: { email: owner.email, name: owner.name, ...password } } : {}) } };
      },
      'GET /api/control/tenants/:tenant': ({ params }) => ({
        body: find(world.tenants, ({ id, slug }) => id === params['tenant'] || slug === params['tenant']),
      }),
      'GET /api/control/tenants/:tenant/database': ({ params }) => {
        const found = find(world.tenants, ({ id, slug }) => id === params['tenant'] || slug === params['tenant']);
        return { body: database(found, world.tenants.indexOf(found)) };
      },
      'GET /api/control/tenants/:tenant/operations': ({ params }) => ({
        body: { items: world.operations.filter(({ tenant }) => tenant === params['tenant']) },
      }),
      'POST /api/control/tenants/:tenant/finish': ({ params }) => ({
        body: { items: world.operations.filter(({ tenant }) => tenant === params['tenant']) },
      }),
      'POST /api/control/tenants/:tenant/suspend': ({ params }) => ({ body: world.change(params['tenant'], 'suspend', { state: 'suspended' }) }),
      'POST /api/control/tenants/:tenant/resume': ({ params }) => ({ body: world.change(params['tenant'], 'resume', { state: 'active' }) }),
      'POST /api/control/tenants/:tenant/plan': ({ params, body }) => ({ body: world.change(params['tenant'], 'plan', { plan: body?.plan }) }),
      'POST /api/control/tenants/:tenant/rename': ({ params, body }) => {
        const { slug, name } = body as RenameTenant;
        if (slug && world.tenants.some((one) => one.slug === slug)) {
          throw new MockProblem(409, 'conflict', 'Conflict', 'The slug is taken.', [{ pointer: '/slug', detail: 'This slug is taken.' }]);
        }
        return { body: world.change(params['tenant'], 'rename', { ...(slug ? { slug, host: `${slug}.localhost` } : {}), ...(name ? { name } : {}) }) };
      },
      'DELETE /api/control/tenants/:tenant': ({ params }) => {
        const gone = find(world.tenants, ({ id }) => id === params['tenant']);
        world.tenants = world.tenants.filter((one) => one !== gone);
        return { status: 204 };
      },
      'GET /api/control/services': (request) => {
        allow(request);
        return page(world.services);
      },
      'GET /api/control/services/:service/releases/:release': (request) => {
        allow(request);
        const found = find(world.services, ({ name }) => name === request.params['service']);
        return { body: facts(found, find(found.releases, ({ id }) => id === request.params['release'])) };
      },
      'POST /api/control/services/:service/activate': ({ params, body }) => switchTo(params['service'], body?.release, 'deployed'),
      'POST /api/control/services/:service/rollback': ({ params, body }) => switchTo(params['service'], body?.release, 'rolled-back'),
      'POST /api/control/services/:service/canary/promote': ({ params }) => {
        const found = find(world.services, ({ name }) => name === params['service']);
        return switchTo(found.name, found.canary?.release, 'canary-promoted');
      },
      'POST /api/control/services/:service/canary/abort': ({ params }) => {
        const found = find(world.services, ({ name }) => name === params['service']);
        const canary = find(found.releases, ({ id }) => id === found.canary?.release);
        canary.state = 'retained';
        happen(found, canary, 'canary-aborted');
        return { body: found };
      },
      'GET /api/control/sites': (request) => {
        allow(request);
        return page(world.sites);
      },
      'GET /api/control/clusters': (request) => {
        allow(request);
        return page(world.clusters);
      },
      'GET /api/control/meters': (request) => {
        allow(request);
        return { body: world.meters() };
      },
      'GET /api/control/meters/stream': (request) => {
        allow(request);
        return {
          stream: (send) => {
            const timer = setInterval(() => send({ event: 'meters', data: world.meters() }), 1000);
            send({ event: 'meters', data: world.meters() });
            return () => clearInterval(timer);
          },
        };
      },
    },
    (scenario) => {
      world = new World(scenario !== 'empty');
    },
  );
}
