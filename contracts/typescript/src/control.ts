// The typed client of the control plane. Generated from contracts/openapi/control.json: do not edit.

import { Core, type ClientOptions, type RequestOptions } from "./core";
import { openStream, type StreamOptions, type Subscription } from "./live";

/** Of the contract that this client was made from: a build records it. */
export const CONTRACT_HASH = "8b422158a7b942e8";

/** Which release requests shall go to. */
export interface Activate {
  /** The release's id. */
  release: string;
}

/** A PostgreSQL server that is to take tenants. */
export interface AddCluster {
  /** The database that is to hold the schemas. It is there, and empty. */
  database: string;
  /** A name or an address for TCP, or the folder of a unix socket, as every node sees it. */
  host: string;
  /**
   * The platform's own login there; the directory's when absent. Its password is in the nodes'
   * secrets, as `cluster-<name>`, which they read when they start.
   */
  login?: string | null;
  /** Its name: 1 to 31 of `a-z`, `0-9` and `-`. */
  name: string;
  /** The plans whose new tenants it takes; all when absent. */
  plans?: Plan[] | null;
  /** The port, also in the name of the socket. */
  port?: number;
  /** Where it is; new tenants may ask for it. */
  region?: string;
}

/** An upload that has begun. */
export interface Archive {
  /** Names the upload. */
  id: string;
  /** Largest part, in bytes. */
  part_bytes_max: number;
}

/** One thing that a manifest asks for. */
export interface Asked {
  /**
   * `capability`, `http`, `credential`, `secret`, `value`, `call`, `event`, `hook`, or the key in the
   * manifest.
   */
  kind: string;
  /** Which one. */
  name: string;
}

/** One immutable version of a site. */
export interface Build {
  /** When it was uploaded. */
  created_at: string;
  /** How many files it has. */
  files: number;
  /** Its id, made of its content. */
  id: string;
  /** The site. */
  site: string;
  /** The size of its files together, before compression. */
  size_bytes: number;
  /** Whether new visitors get it. */
  state: BuildState;
}

/** What a build is good for now. */
export type BuildState = "active" | "retained";

/** A site bundle. */
export interface BuildUpload {
  /** Its files; `/index.html` is one of them. */
  files: FileUpload[];
  /** The site's title, to show. */
  title: string;
}

/** A release that some tenants have before all others. */
export interface Canary {
  /** The release. */
  release: string;
  /** The share of tenants that was asked for; null when they were named. */
  share_percent: number | null;
  /** Since when. */
  since: string;
  /** How many tenants have it. */
  tenants: number;
}

/** Which tenants get a canary: a share of them, or those that are named. */
export interface CanaryTenants {
  /** The share of all tenants, above 0 and up to 100. Whoever is among 5 % is among 20 %, too. */
  share_percent?: number | null;
  /** Slugs or ids. */
  tenants?: string[] | null;
}

/** What a tenant shall pay for. */
export interface ChangePlan {
  /** The new plan. */
  plan: Plan;
}

/** One PostgreSQL server. */
export interface Cluster {
  /** The database that holds the schemas. */
  database: string;
  /** Whether it takes no new tenants. */
  draining: boolean;
  /** How many lanes it has. */
  lanes: number;
  /**
   * Whether tenants can be moved away from it while they are in use (`wal_level` is `logical`); null
   * while it does not answer.
   */
  movable: boolean | null;
  /** Its name. */
  name: string;
  /** The plans whose new tenants it takes; null: all. */
  plans: Plan[] | null;
  /** Where it is; may be empty. */
  region: string;
  /** The size of the database; null while it does not answer. */
  size_bytes: number | null;
  /** Whether it answers now. */
  state: ClusterState;
  /** How many tenants live on it. */
  tenants: number;
  /** The server's version; null while it does not answer. */
  version: string | null;
}

/** A page of clusters, in the order of their names. */
export interface ClusterPage {
  /** The clusters. */
  items: Cluster[];
  /** Asks for the next page; null on the last. */
  next_page_token: string | null;
}

/** Whether a cluster answers. */
export type ClusterState = "up" | "down";

/** A difference in the contract. */
export interface ContractChange {
  /** Whether a client of the served release can fail on it. */
  breaking: boolean;
  /** What is different. */
  detail: string;
  /** The operation. */
  place: string;
}

/** The first member of a tenant to create. */
export interface CreateOwner {
  /** Where they sign in with. */
  email: string;
  /** Their name, to show. */
  name: string;
  /** Their password; one is made and shown once when absent. */
  password?: string | null;
}

/** A tenant to create. */
export interface CreateTenant {
  /** Its name, to show. */
  name: string;
  owner?: CreateOwner | null;
  plan?: Plan | null;
  /** Only on a cluster of this region, as `terrace cluster list` shows it; on any when absent. */
  region?: string | null;
  /** The first label of its host: 1 to 31 of `a-z`, `0-9` and `-`, and no reserved name. */
  slug: string;
}

/** The first member of a tenant that was just created. */
export interface CreatedOwner {
  /** Where they sign in with. */
  email: string;
  /** Their name, to show. */
  name: string;
  /** The password that was made for them. It is shown this once and stored nowhere. */
  password?: string;
}

/** A tenant that was just created. */
export interface CreatedTenant {
  /** When it was created. */
  created_at: string;
  /** Where its members find it. */
  host: string;
  /** Opaque: no role and no schema shows a customer's name. */
  id: string;
  /** Its name, to show. */
  name: string;
  /** Its first member, if one was created. */
  owner?: CreatedOwner;
  /** Where its data lives. */
  placement: Placement;
  /** What it pays for. */
  plan: Plan;
  /** The first label of its host. */
  slug: string;
  /** Where it is in its life. */
  state: TenantState;
}

/** What an operator signs in with. */
export interface Credentials {
  /** Their address. */
  email: string;
  /** Their password. */
  password: string;
}

/** What is left of a tenant: the proof of what was removed, and nothing that names the customer. */
export interface DeletedTenant {
  /** When the deletion was done. */
  deleted_at: string;
  /** The operator who asked; null: the platform itself. */
  deleted_by: string | null;
  /** What was removed, counted: schemas, roles, tables, rows, bytes, events; and `left`, which is 0. */
  evidence: Record<string, unknown>;
  /** Its id, which no other tenant gets. */
  id: string;
}

/** One field that is not valid. */
export interface FieldError {
  /** What is wrong with it, in a sentence. */
  detail: string;
  /** A JSON pointer (RFC 6901) into the body, or `/` and the name of a query parameter. */
  pointer: string;
}

/** One file of a build. */
export interface FileUpload {
  /** Its bytes, in base64. */
  content: string;
  /** Where it is served. */
  path: string;
}

/** A tenant to make from an archive. */
export interface ImportTenant {
  /** Bring back a tenant that was deleted here. */
  force?: boolean;
  /** Its name, to show; the archive's when absent. */
  name?: string | null;
  plan?: Plan | null;
  /** The first label of its host: 1 to 31 of `a-z`, `0-9` and `-`, and no reserved name. */
  slug: string;
}

/** How an invocation went. */
export interface InvocationResult {
  /** The body, in base64. */
  body: string;
  /** How long it took, in milliseconds. */
  duration_ms: number;
  /**
   * Why the platform answered in place of the service: a code of `docs/reference/problems.md`; null
   * when the service answered itself.
   */
  failure: string | null;
  /** The headers, in order. */
  headers: unknown[][];
  /** What the service wrote meanwhile, and what ended it. */
  logs: LogLine[];
  /** The release that ran; null for one that is not deployed. */
  release: string | null;
  /** The request's id, which its log lines carry. */
  request_id: string;
  /** The status. */
  status: number;
}

/** A component that is not deployed. */
export interface InvokeBundle {
  /** The Wasm component, in base64. */
  component: string;
  /** The text of `service.toml`. */
  manifest: string;
}

/** One request to a service, for somebody who builds it. */
export interface InvokeUpload {
  /** Ask as nobody, instead of as an owner called `operator`. */
  anonymous?: boolean;
  /** The body, in base64; none when absent. */
  body?: string | null;
  bundle?: InvokeBundle | null;
  /** Names and values. */
  headers?: unknown[][];
  /** In capitals. */
  method: string;
  /** The whole path, with its query. */
  path: string;
  /** Whose data it works on, by slug or id. Absent only with `bundle`. */
  tenant?: string | null;
}

/** How many neighbours a tenant's lane has. */
export type LaneKind = "own" | "shared";

/** Somebody who waits for a lock. */
export interface LockWait {
  /** How many others it waits for. */
  blockers: number;
  /** The lock that is wanted, in PostgreSQL's words. */
  mode: string;
  /** The schema's name. */
  schema: string;
  /** The table that is waited for, or that the waiting transaction has touched. */
  table: string;
  /** What is locked, in PostgreSQL's words: `relation`, `tuple`, `transactionid` (a row). */
  target: string;
  /** For how long. */
  waited_ms: number;
}

/** How much a line matters. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** One line. */
export interface LogLine {
  /** When it was written. */
  at: string;
  /** How much it matters. */
  level: LogLevel;
  /** The text, on one line. */
  message: string;
  /** Its place among all lines. */
  number: number;
  /** The request. */
  request_id: string;
  /** The service that wrote it. */
  service: string;
  /** The tenant's slug; null when it is gone. */
  slug: string | null;
  /** The tenant whose request it was. */
  tenant: string;
}

/** Lines in the order in which they were written. */
export interface LogLines {
  /** The lines, oldest first. */
  items: LogLine[];
  /** What to ask `after` next. */
  last: number;
}

/** The last minute of one node. */
export interface Meters {
  /** When the figures were taken. */
  at: string;
  /** The last 50 errors, newest first. */
  errors: MetersError[];
  /** By second, oldest first. */
  series: MetersPoint[];
  /** By service, busiest first. */
  services: ServiceMeters[];
  /** By tenant, busiest first. */
  tenants: TenantMeters[];
  /** Over everything. */
  totals: MetersTotals;
  /** How far they look back. */
  window_seconds: number;
}

/** One error. */
export interface MetersError {
  /** When it was answered. */
  at: string;
  /** The problem code, if the answer was one. */
  code: string | null;
  /** The HTTP method. */
  method: string;
  /** The path, without its query. */
  path: string;
  /** The request's id, as in the log. */
  request_id: string;
  /** The service. */
  service: string;
  /** The HTTP status. */
  status: number;
  /** The tenant's id. */
  tenant: string;
}

/** One second. */
export interface MetersPoint {
  /** The second. */
  at: string;
  /** Answers of 500 and above in it. */
  errors: number;
  /** 99th percentile latency in milliseconds. */
  p99_ms: number;
  /** Requests in it. */
  requests: number;
}

/** Figures over the window. */
export interface MetersTotals {
  /** Answers of 500 and above in the window. */
  errors: number;
  /** Median latency in milliseconds; 0 without requests. */
  p50_ms: number;
  /** 99th percentile latency in milliseconds; 0 without requests. */
  p99_ms: number;
  /** Requests a second, over the window. */
  rate_per_second: number;
  /** Requests in the window. */
  requests: number;
}

/** How a schema's migrations stand against the release that serves it. */
export type MigrationState = "current" | "behind" | "ahead";

/** One step of a service's schema. */
export interface MigrationUpload {
  /** Four digits, what it does, and `.sql`. */
  name: string;
  /** Its statements. */
  sql: string;
}

/** Where a tenant is to live. */
export interface MoveTenant {
  /** The name of the cluster; where it is when absent. */
  cluster?: string | null;
  lane?: LaneKind | null;
}

/** A migration that is new. */
export interface NewMigrationStep {
  /**
   * What tenants with big tables have to wait for, and what to write instead, as sentences. Empty when
   * it is quick on tables of any size.
   */
  makes_wait: string[];
  /** Its name. */
  name: string;
  /**
   * What it takes away from the served release, as sentences. Empty when it only adds, so that one
   * can go back.
   */
  takes_away: string[];
}

/** Something that is done to a tenant in steps. It survives a crash between any two of them. */
export interface Operation {
  /** The operator who asked; null: the platform itself. */
  actor: string | null;
  /** How often it was tried since its last step. */
  attempts: number;
  /** What went wrong at the last attempt; null when nothing did. */
  error: string | null;
  /** What its steps counted: rows, schemas, a digest. */
  evidence: Record<string, unknown>;
  /** When it ended; null while it runs. */
  finished_at: string | null;
  /** Its number. */
  id: number;
  /** What it does. */
  kind: OperationKind;
  /** The names of the steps that are still to come; empty when it is over. */
  remaining: string[];
  /** When it is tried again by itself, after a failure. */
  retry_at: string | null;
  /** The tenant's slug now; null once the tenant is gone. */
  slug: string | null;
  /** When it was asked for. */
  started_at: string;
  /** How it stands. */
  state: OperationState;
  /** What was done, in order. */
  steps: OperationStep[];
  /** Whose it is. */
  tenant: string;
}

/** What an operation does. */
export type OperationKind = "create" | "delete" | "suspend" | "resume" | "plan" | "rename" | "export" | "import" | "move" | "restore";

/** Operations, the newest first. */
export interface OperationPage {
  /** The operations; at most 200. */
  items: Operation[];
}

/** How an operation stands. */
export type OperationState = "running" | "done" | "cancelled";

/** A step that is done. */
export interface OperationStep {
  /** When it was done. */
  at: string;
  /** Its name. */
  step: string;
}

/** A person who runs the platform. */
export interface Operator {
  /** Where they sign in with; null for the operator token, which belongs to nobody. */
  email: string | null;
  /** Their name, to show. */
  name: string;
}

/** Where a tenant's data lives. */
export interface Placement {
  /** The PostgreSQL server. */
  cluster: string;
  /** The login that may act for it, shared with at most 63 neighbours. */
  lane: string;
  /** One schema for each service. */
  schemas: string[];
}

/** What a tenant pays for. */
export type Plan = "free" | "team";

/** A problem document (RFC 9457). This is its description; `terrace-ground-error` writes it. */
export interface Problem {
  /** The stable code, in kebab-case. */
  code: string;
  /** What happened this time, for people. */
  detail?: string;
  /** The fields that are not valid, for `validation-failed`. */
  errors?: FieldError[];
  /** What to quote when asking for help. */
  request_id?: string;
  /** The HTTP status, repeated. */
  status: number;
  /** The code's title. */
  title: string;
  /** A page about this code. */
  type: string;
}

/** A setting to keep. */
export interface PutSetting {
  /** `secret` or `config`. */
  kind: string;
  /** The tenant that it is for, by slug or id; for all that have none of their own when absent. */
  tenant?: string | null;
  /** Its value: 1 to 8,192 bytes of text. */
  value: string;
}

/** One immutable version of a service. */
export interface Release {
  /** The host interfaces that it is granted. */
  capabilities: string[];
  /** When it was uploaded. */
  created_at: string;
  /** Why it failed; null when it did not. */
  error: string | null;
  /** Its id. */
  id: string;
  /** The service. */
  service: string;
  /** The hash of its whole bundle, in hexadecimal. */
  sha256: string;
  /** The size of its component. */
  size_bytes: number;
  /** What it is good for now. */
  state: ReleaseState;
  /** Who uploaded it. */
  uploaded_by: string;
}

/**
 * What is different between a release and the one that is served now. Everything is a difference
 * when none is served.
 */
export interface ReleaseDiff {
  /** The release that it is compared with; null when none is served. */
  against: string | null;
  /** What it newly asks for. */
  asks: Asked[];
  /** Whether a client of the served release can fail on this one. */
  breaking: boolean;
  /** What is different for clients, operation by operation. */
  contract: ContractChange[];
  /** What it asks for no more. */
  drops: Asked[];
  /** Migrations that every tenant's schema gets. */
  migrations: NewMigrationStep[];
  /** Whether it is that very release. */
  same: boolean;
  /** Limits and other settings that are different. */
  settings: SettingChange[];
}

/** Something that happened to a release. */
export interface ReleaseEvent {
  /** When. */
  at: string;
  /** An operator's address, or `terrace`. */
  by: string;
  /** More about it. May be empty. */
  detail: string;
  /**
   * `deployed`, `rolled-back`, `rolled-back-by-budget`, `canary-started`, `canary-promoted`,
   * `canary-aborted`, `canary-aborted-by-budget` or `failed`.
   */
  happened: string;
  /** The release; it may be gone. */
  release: string;
}

/** A release with everything that is known about it. */
export interface ReleaseFacts {
  /** The hash of its component, in hexadecimal; null for one of an older version of the platform. */
  component_sha256: string | null;
  /** The hash of its contract, in hexadecimal. */
  contract_sha256: string;
  /** What is different from the release that is served now. */
  diff: ReleaseDiff;
  /** The interfaces that its component imports. */
  imports: string[];
  /** What one request may use, with the defaults. */
  limits: Record<string, unknown>;
  /** The text of its manifest. */
  manifest: string;
  /** The steps of its schema. */
  migrations: string[];
  /** The release. */
  release: Release;
}

/** What a release is good for now. */
export type ReleaseState = "active" | "canary" | "uploaded" | "retained" | "failed";

/** A service bundle. */
export interface ReleaseUpload {
  /** Deploy it although clients of the served release can fail on it. */
  allow_breaking?: boolean;
  /** Deploy it although it newly asks for something. */
  allow_new_asks?: boolean;
  canary?: CanaryTenants | null;
  /** The Wasm component, in base64. */
  component: string;
  /** The OpenAPI 3.1 document. */
  contract: Record<string, unknown>;
  /** Deploy it although its migrations make tenants wait, or take away what the served release uses. */
  force_migration?: boolean;
  /** The text of `service.toml`. */
  manifest: string;
  /** The steps of its schema, in the order in which they run. */
  migrations: MigrationUpload[];
}

/** New names for a tenant; what is absent stays. */
export interface RenameTenant {
  /** Its name, to show. */
  name?: string | null;
  /** Lets others have the old slug at once; otherwise it is kept from them for 30 days. */
  release_old_slug?: boolean;
  /** The first label of its host: 1 to 31 of `a-z`, `0-9` and `-`, and no reserved name. */
  slug?: string | null;
}

/** A tenant to bring back to what an archive says. */
export interface RestoreTenant {
  /** Take the archive of another tenant, too. */
  force?: boolean;
  /** The tenant, by its id or its slug. It is active or suspended. */
  tenant: string;
}

/** Where to go back to. */
export interface Rollback {
  /** Go back although migrations have taken away what that release uses. */
  force?: boolean;
  /** The release; the one that was served before the current one when absent. */
  release?: string | null;
}

/** One service's schema of a tenant. */
export interface SchemaState {
  /** The last migration of the release that serves this tenant. */
  current: number;
  /** Rows that wait for a VACUUM, estimated. */
  dead_rows: number;
  /** Indexes. */
  indexes: number;
  /** Rows, estimated. */
  live_rows: number;
  /** When the last migration was applied; null when there is none. */
  migrated_at: string | null;
  /** That release. */
  release: string;
  /** Its name in the database. */
  schema: string;
  /** The service. */
  service: string;
  /** Its size. */
  size_bytes: number;
  /** How its migrations stand. */
  state: MigrationState;
  /** Tables. */
  tables: number;
  /** The last migration that was applied; 0 for none. */
  version: number;
}

/** A unit of backend code with a single task. */
export interface Service {
  canary: Canary | null;
  current: Release | null;
  /** What happened to its releases lately, newest first. */
  history: ReleaseEvent[];
  /** Its name, as in `/api/<name>/`. */
  name: string;
  /** Where a rollback leads; null when nowhere by itself: after a rollback, or before a second deploy. */
  previous: string | null;
  /** Every release that is kept, newest first. */
  releases: Release[];
  /** Its name, to show. */
  title: string;
}

/** One service's figures. */
export interface ServiceMeters {
  /** Answers of 500 and above in the window. */
  errors: number;
  /** Median latency in milliseconds. */
  p50_ms: number;
  /** 99th percentile latency in milliseconds. */
  p99_ms: number;
  /** Requests a second, over the window. */
  rate_per_second: number;
  /** Requests in the window. */
  requests: number;
  /** The service. */
  service: string;
}

/** A page of services, in the order of their names. */
export interface ServicePage {
  /** The services. */
  items: Service[];
  /** Asks for the next page; null on the last. */
  next_page_token: string | null;
}

/** Who is signed in, and until when. */
export interface Session {
  /** When the session ends; null for the operator token, which does not. */
  expires_at: string | null;
  /** Who it is. */
  operator: Operator;
}

/** One setting of a service. */
export interface Setting {
  /** What it is. */
  kind: SettingKind;
  /** Its name, as the manifest lists it. */
  name: string;
  /** The tenant that it counts for; null for all that have none of their own. */
  tenant: string | null;
  /** When it was set. */
  updated_at: string;
  /** Its value; null for a secret. */
  value: string | null;
}

/** A setting of the manifest that is different. */
export interface SettingChange {
  /** Its value in this release; null when it has none. */
  after: string | null;
  /** Its value in the served release; null when it had none. */
  before: string | null;
  /** The key in the manifest. */
  name: string;
}

/** What a setting is. */
export type SettingKind = "secret" | "config";

/** A page of settings. */
export interface SettingPage {
  /** The settings, in the order of their names; the one for all tenants before the others. */
  items: Setting[];
  /** Asks for the next page; null on the last. */
  next_page_token: string | null;
}

/** A static frontend. */
export interface Site {
  /** Every build that is kept, newest first. */
  builds: Build[];
  current: Build | null;
  /** Its name. */
  name: string;
  /** Its name, to show. */
  title: string;
}

/** A page of sites, in the order of their names. */
export interface SitePage {
  /** The sites. */
  items: Site[];
  /** Asks for the next page; null on the last. */
  next_page_token: string | null;
}

/** What the statements of one shape took. */
export interface SlowStatement {
  /** How often it ran. */
  calls: number;
  /** How many of those failed or were stopped. */
  failures: number;
  /** 16 hexadecimal digits; the same for statements that differ in their values alone. */
  fingerprint: string;
  /** The longest. */
  max_ms: number;
  /** On average. */
  mean_ms: number;
  /** The service that sends it. */
  service: string;
  /** Its text without its values; at most 400 characters. */
  text: string;
  /** All of them together. */
  total_ms: number;
}

/** Which release becomes a canary, and for whom. */
export interface StartCanary {
  /** The release's id. */
  release: string;
  /** For whom. */
  to: CanaryTenants;
}

/** Statements of one tenant since the node began. */
export interface StatementCounts {
  /** Transactions that met another one and had to begin again, deadlocks included. */
  conflicts: number;
  /** Those that failed. */
  failures: number;
  /** Statements that waited too long for a lock. */
  lock_timeouts: number;
  /** Requests that were turned away because too many waited. */
  refused: number;
  /** All. */
  statements: number;
  /** Statements that passed the deadline of their request. */
  timeouts: number;
}

/** A tenant that could be moved. */
export interface Suggestion {
  /** Where it lives. */
  from: string;
  /** Its slug. */
  slug: string;
  /** The tenant. */
  tenant: string;
  /** Where there would be more room. */
  to: string;
}

/** Moves that would help. */
export interface SuggestionList {
  /** In the order in which to make them; at most 100. */
  items: Suggestion[];
}

/** A customer organisation: the unit of isolation. */
export interface Tenant {
  /** When it was created. */
  created_at: string;
  /** Where its members find it. */
  host: string;
  /** Opaque: no role and no schema shows a customer's name. */
  id: string;
  /** Its name, to show. */
  name: string;
  /** What is being done to it now, or was begun and is not done. Only where one tenant is shown. */
  operation?: Operation;
  /** Where its data lives. */
  placement: Placement;
  /** What it pays for. */
  plan: Plan;
  /** The first label of its host. */
  slug: string;
  /** Where it is in its life. */
  state: TenantState;
}

/** Connections of one tenant, and of the lane that it shares. */
export interface TenantConnections {
  /** Transactions of the tenant that hold a connection, or are about to. */
  in_flight: number;
  /** Connections of its lane that are open and idle. */
  lane_idle: number;
  /** Connections of its lane that are in use, by neighbours too. */
  lane_in_use: number;
  /** Most connections that its lane may have on one node. */
  lane_limit: number;
  /** Requests of the tenant that wait for their turn. */
  waiting: number;
}

/**
 * How a tenant's data is doing: its size now, and what its statements do on the node that answers.
 * No row, and no value that was in a statement, is in it.
 */
export interface TenantDatabase {
  /** When it was asked. */
  at: string;
  /**
   * Of the blocks that its statements needed, the share that PostgreSQL had in memory, from 0 to 1, since
   * its statistics began; null when none was needed.
   */
  cache_hit_ratio: number | null;
  /** The cluster where the tenant lives. */
  cluster: string;
  /** Connections, of the node that answers. */
  connections: TenantConnections;
  /** Statements since that node began. */
  counts: StatementCounts;
  /** Rows that are deleted or replaced and not vacuumed yet, estimated alike. */
  dead_rows: number;
  /** Whether sizes were measured. While a table is locked they are those of the last VACUUM or ANALYZE. */
  exact: boolean;
  /** Of those, indexes. */
  index_bytes: number;
  /** Rows, as PostgreSQL's statistics estimate them. */
  live_rows: number;
  /** What waits for a lock on its tables, the longest wait first; at most 50. */
  lock_waits: LockWait[];
  /** How long the oldest open transaction that has touched its tables is open; null without one. */
  longest_transaction_ms: number | null;
  /** Runs of statements that are not among those. */
  other_calls: number;
  /** The time of those. */
  other_ms: number;
  /** By service. */
  schemas: SchemaState[];
  /** Tables, indexes and what is stored out of line, of all its services. */
  size_bytes: number;
  /**
   * Statements of its last hour to two by their fingerprint, those that took the most time together
   * first; at most 50.
   */
  statements: SlowStatement[];
}

/** One tenant's figures. */
export interface TenantMeters {
  /** Answers of 500 and above in the window. */
  errors: number;
  /** Median latency in milliseconds. */
  p50_ms: number;
  /** 99th percentile latency in milliseconds. */
  p99_ms: number;
  /** Requests a second, over the window. */
  rate_per_second: number;
  /** Requests in the window. */
  requests: number;
  /** Its slug; null when it was deleted within the window. */
  slug: string | null;
  /** The tenant's id. */
  tenant: string;
}

/** A page of tenants, in the order of their slugs. */
export interface TenantPage {
  /** The tenants. */
  items: Tenant[];
  /** Asks for the next page; null on the last. */
  next_page_token: string | null;
}

/** Where a tenant is in its life. */
export type TenantState = "creating" | "active" | "suspended" | "deleting";

/** Usage over some time. */
export interface UsageReport {
  /** Hours that begin at this time or later. */
  from: string;
  /** The most processor time first; with a row for each hour, the newest hour first. At most 10,000. */
  items: UsageRow[];
  /** Hours that begin before this time. */
  until: string;
}

/**
 * What one tenant used of one service. A call between services counts for the one that is called; the
 * caller's own row has the time that it waited.
 */
export interface UsageRow {
  /** Processor time, in microseconds. */
  cpu_us: number;
  /** Those that trapped or passed a limit. */
  failures: number;
  /** When the hour began; null when the row is for the whole time. */
  hour: string | null;
  /** The most memory that one request had, in bytes. */
  memory_peak_bytes: number;
  /** Bytes of bodies from other hosts. */
  received_bytes: number;
  /** Requests that ended. */
  requests: number;
  /** Bytes of bodies to other hosts. */
  sent_bytes: number;
  /** The service. */
  service: string;
  /** Its slug; null when it is gone. */
  slug: string | null;
  /** Time that was waited for the database, in microseconds. */
  sql_us: number;
  /** Statements, with the begins and ends of transactions. */
  statements: number;
  /** The tenant's id. */
  tenant: string;
  /** Time from start to end, waits included, in microseconds. */
  wall_us: number;
}

/** A client of the control plane at this origin, or at `baseUrl`. An operator's session is not renewed. */
export function createControlClient(options: ClientOptions = {}) {
  const core = new Core({ ...options, refresh: null });
  return {
    /** Takes the canary from its tenants: they have the current release again. */
    abortCanary: (params: { service: string }, options: RequestOptions = {}): Promise<Service> =>
      core.request<Service>({ method: "POST", path: "/api/control/services/{service}/canary/abort", params }, options),
    /** Routes a service's requests to one of its releases, as a deploy of it does. */
    activateRelease: (params: { service: string }, body: Activate, options: RequestOptions = {}): Promise<Service> =>
      core.request<Service>({ method: "POST", path: "/api/control/services/{service}/activate", params, body }, options),
    /** Adds a PostgreSQL server, and prepares it. */
    addCluster: (body: AddCluster, options: RequestOptions = {}): Promise<Cluster> =>
      core.request<Cluster>({ method: "POST", path: "/api/control/clusters", body }, options),
    /** Gives up a move that has not switched yet. The tenant stays where it is, and what was copied goes. */
    cancelMove: (params: { tenant: string }, options: RequestOptions = {}): Promise<Tenant> =>
      core.request<Tenant>({ method: "POST", path: "/api/control/tenants/{tenant}/cancel-move", params }, options),
    /** Changes what a tenant pays for, and tells the services that want to know. */
    changePlan: (params: { tenant: string }, body: ChangePlan, options: RequestOptions = {}): Promise<Tenant> =>
      core.request<Tenant>({ method: "POST", path: "/api/control/tenants/{tenant}/plan", params, body }, options),
    /** Begins to upload an archive. Its parts come next, in any order, and then the import. */
    createArchive: (options: RequestOptions = {}): Promise<Archive> =>
      core.request<Archive>({ method: "POST", path: "/api/control/archives" }, options),
    /** Uploads a build of a site and makes it the current one. */
    createBuild: (params: { site: string }, body: BuildUpload, options: RequestOptions = {}): Promise<Build> =>
      core.request<Build>({ method: "POST", path: "/api/control/sites/{site}/builds", params, body }, options),
    /** Uploads a release of a service and routes the service's requests to it. */
    createRelease: (params: { service: string }, body: ReleaseUpload, options: RequestOptions = {}): Promise<Release> =>
      core.request<Release>({ method: "POST", path: "/api/control/services/{service}/releases", params, body }, options),
    /** Signs an operator in. */
    createSession: (body: Credentials, options: RequestOptions = {}): Promise<Session> =>
      core.request<Session>({ method: "POST", path: "/api/control/session", public: true, body }, options),
    /** Creates a tenant, with the schemas of every service. */
    createTenant: (body: CreateTenant, options: RequestOptions = {}): Promise<CreatedTenant> =>
      core.request<CreatedTenant>({ method: "POST", path: "/api/control/tenants", body }, options),
    /** Signs the operator out of this browser. */
    deleteSession: (options: RequestOptions = {}): Promise<void> =>
      core.request<void>({ method: "DELETE", path: "/api/control/session" }, options),
    /** Forgets a value that was set for a service. */
    deleteSetting: (params: { service: string; name: string; kind: string; tenant?: string }, options: RequestOptions = {}): Promise<void> =>
      core.request<void>({ method: "DELETE", path: "/api/control/services/{service}/settings/{name}", params, query: ["kind", "tenant"] }, options),
    /** Deletes a tenant and all its data. */
    deleteTenant: (params: { tenant: string }, options: RequestOptions = {}): Promise<DeletedTenant> =>
      core.request<DeletedTenant>({ method: "DELETE", path: "/api/control/tenants/{tenant}", params }, options),
    /** Keeps new tenants from a cluster. Those that it has stay until they are moved. */
    drainCluster: (params: { cluster: string }, options: RequestOptions = {}): Promise<Cluster> =>
      core.request<Cluster>({ method: "POST", path: "/api/control/clusters/{cluster}/drain", params }, options),
    /** Finishes what was begun on a tenant and stopped half way: after a crash, or after an error. */
    finishOperation: (params: { tenant: string }, options: RequestOptions = {}): Promise<OperationPage> =>
      core.request<OperationPage>({ method: "POST", path: "/api/control/tenants/{tenant}/finish", params }, options),
    /** Proves that a tenant was deleted: when, by whom, and what was removed, counted. */
    getEvidence: (params: { tenant: string }, options: RequestOptions = {}): Promise<DeletedTenant> =>
      core.request<DeletedTenant>({ method: "GET", path: "/api/control/tenants/{tenant}/evidence", params }, options),
    /** The figures of the last 60 seconds. */
    getMeters: (options: RequestOptions = {}): Promise<Meters> =>
      core.request<Meters>({ method: "GET", path: "/api/control/meters" }, options),
    /** Who is signed in. */
    getSession: (options: RequestOptions = {}): Promise<Session> =>
      core.request<Session>({ method: "GET", path: "/api/control/session" }, options),
    /** Shows one tenant. */
    getTenant: (params: { tenant: string }, options: RequestOptions = {}): Promise<Tenant> =>
      core.request<Tenant>({ method: "GET", path: "/api/control/tenants/{tenant}", params }, options),
    /** Makes a new tenant from an uploaded archive. */
    importTenant: (params: { archive: string }, body: ImportTenant, options: RequestOptions = {}): Promise<Tenant> =>
      core.request<Tenant>({ method: "POST", path: "/api/control/archives/{archive}/import", params, body }, options),
    /**
     * Sends one request to a service, as a member of a tenant would, and tells what became of it: the
     * answer, the log lines, and what ended it.
     */
    invokeService: (params: { service: string }, body: InvokeUpload, options: RequestOptions = {}): Promise<InvocationResult> =>
      core.request<InvocationResult>({ method: "POST", path: "/api/control/services/{service}/invoke", params, body }, options),
    /** Lists clusters, in the order of their names. */
    listClusters: (params: { page_size?: number; page_token?: string } = {}, options: RequestOptions = {}): Promise<ClusterPage> =>
      core.request<ClusterPage>({ method: "GET", path: "/api/control/clusters", params, query: ["page_size", "page_token"] }, options),
    /** Shows what services wrote, and what ended their requests. */
    listLogs: (params: { service?: string; tenant?: string; level?: LogLevel; after?: number; limit?: number; wait_seconds?: number } = {}, options: RequestOptions = {}): Promise<LogLines> =>
      core.request<LogLines>({ method: "GET", path: "/api/control/logs", params, query: ["service", "tenant", "level", "after", "limit", "wait_seconds"] }, options),
    /** Lists what is done to tenants: the newest 200 operations of all of them. */
    listOperations: (options: RequestOptions = {}): Promise<OperationPage> =>
      core.request<OperationPage>({ method: "GET", path: "/api/control/operations" }, options),
    /** Lists services with their releases, in the order of their names. */
    listServices: (params: { page_size?: number; page_token?: string } = {}, options: RequestOptions = {}): Promise<ServicePage> =>
      core.request<ServicePage>({ method: "GET", path: "/api/control/services", params, query: ["page_size", "page_token"] }, options),
    /** Lists what is set for a service. Values of secrets are not shown, to nobody. */
    listSettings: (params: { service: string; kind: string; page_size?: number; page_token?: string }, options: RequestOptions = {}): Promise<SettingPage> =>
      core.request<SettingPage>({ method: "GET", path: "/api/control/services/{service}/settings", params, query: ["kind", "page_size", "page_token"] }, options),
    /** Lists sites with their builds, in the order of their names. */
    listSites: (params: { page_size?: number; page_token?: string } = {}, options: RequestOptions = {}): Promise<SitePage> =>
      core.request<SitePage>({ method: "GET", path: "/api/control/sites", params, query: ["page_size", "page_token"] }, options),
    /** Lists what was done to a tenant, the newest first. */
    listTenantOperations: (params: { tenant: string }, options: RequestOptions = {}): Promise<OperationPage> =>
      core.request<OperationPage>({ method: "GET", path: "/api/control/tenants/{tenant}/operations", params }, options),
    /** Lists tenants, in the order of their slugs. */
    listTenants: (params: { page_size?: number; page_token?: string } = {}, options: RequestOptions = {}): Promise<TenantPage> =>
      core.request<TenantPage>({ method: "GET", path: "/api/control/tenants", params, query: ["page_size", "page_token"] }, options),
    /** Moves a tenant to another cluster, or into another lane, while it is in use. */
    moveTenant: (params: { tenant: string }, body: MoveTenant, options: RequestOptions = {}): Promise<Tenant> =>
      core.request<Tenant>({ method: "POST", path: "/api/control/tenants/{tenant}/move", params, body }, options),
    /** Lets a cluster take new tenants again. */
    openCluster: (params: { cluster: string }, options: RequestOptions = {}): Promise<Cluster> =>
      core.request<Cluster>({ method: "POST", path: "/api/control/clusters/{cluster}/open", params }, options),
    /** Says what a release would ask for and change, and stores nothing. */
    previewRelease: (params: { service: string }, body: ReleaseUpload, options: RequestOptions = {}): Promise<ReleaseDiff> =>
      core.request<ReleaseDiff>({ method: "POST", path: "/api/control/services/{service}/releases/preview", params, body }, options),
    /** Gives the canary to every tenant. */
    promoteCanary: (params: { service: string }, options: RequestOptions = {}): Promise<Service> =>
      core.request<Service>({ method: "POST", path: "/api/control/services/{service}/canary/promote", params }, options),
    /** Sets a value for a service, in place of what was there. Services see it within a second. */
    putSetting: (params: { service: string; name: string }, body: PutSetting, options: RequestOptions = {}): Promise<void> =>
      core.request<void>({ method: "PUT", path: "/api/control/services/{service}/settings/{name}", params, body }, options),
    /** Gives a tenant another name, another slug, or both. */
    renameTenant: (params: { tenant: string }, body: RenameTenant, options: RequestOptions = {}): Promise<Tenant> =>
      core.request<Tenant>({ method: "POST", path: "/api/control/tenants/{tenant}/rename", params, body }, options),
    /** Brings a tenant back to what an uploaded archive of it says. */
    restoreTenant: (params: { archive: string }, body: RestoreTenant, options: RequestOptions = {}): Promise<Tenant> =>
      core.request<Tenant>({ method: "POST", path: "/api/control/archives/{archive}/restore", params, body }, options),
    /** Serves a suspended tenant again. */
    resumeTenant: (params: { tenant: string }, options: RequestOptions = {}): Promise<Tenant> =>
      core.request<Tenant>({ method: "POST", path: "/api/control/tenants/{tenant}/resume", params }, options),
    /** Routes a service's requests to an earlier release. A canary of the service ends. */
    rollbackService: (params: { service: string }, body: Rollback, options: RequestOptions = {}): Promise<Service> =>
      core.request<Service>({ method: "POST", path: "/api/control/services/{service}/rollback", params, body }, options),
    /** Shows a release: where it comes from, what it may do, and what is different from the served one. */
    showRelease: (params: { service: string; release: string }, options: RequestOptions = {}): Promise<ReleaseFacts> =>
      core.request<ReleaseFacts>({ method: "GET", path: "/api/control/services/{service}/releases/{release}", params }, options),
    /** Shows how a tenant's data is doing: size, rows, migrations, lock waits, connections, slowest statements. */
    showTenantDatabase: (params: { tenant: string }, options: RequestOptions = {}): Promise<TenantDatabase> =>
      core.request<TenantDatabase>({ method: "GET", path: "/api/control/tenants/{tenant}/database", params }, options),
    /** Shows what tenants used of services: requests, processor time, memory, database, traffic. */
    showUsage: (params: { tenant?: string; service?: string; from?: string; until?: string; hourly?: boolean } = {}, options: RequestOptions = {}): Promise<UsageReport> =>
      core.request<UsageReport>({ method: "GET", path: "/api/control/usage", params, query: ["tenant", "service", "from", "until", "hourly"] }, options),
    /** Gives a release to some tenants. Again with others, it grows or shrinks. */
    startCanary: (params: { service: string }, body: StartCanary, options: RequestOptions = {}): Promise<Service> =>
      core.request<Service>({ method: "POST", path: "/api/control/services/{service}/canary", params, body }, options),
    /** Suggests moves: away from clusters that are drained, and towards equal shares. Changes nothing. */
    suggestMoves: (options: RequestOptions = {}): Promise<SuggestionList> =>
      core.request<SuggestionList>({ method: "GET", path: "/api/control/clusters/balance" }, options),
    /** Puts a tenant on hold. */
    suspendTenant: (params: { tenant: string }, options: RequestOptions = {}): Promise<Tenant> =>
      core.request<Tenant>({ method: "POST", path: "/api/control/tenants/{tenant}/suspend", params }, options),
    /** A stream of server-sent events. */
    stream: (options: StreamOptions): Subscription => openStream(core, options),
  };
}

export type ControlClient = ReturnType<typeof createControlClient>;
