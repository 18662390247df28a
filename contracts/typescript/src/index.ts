// The typed client of every service. Generated from contracts/openapi: do not edit.

import { Core, type ClientOptions, type RequestOptions } from "./core";
import { openEvents, openStream, type EventsOptions, type StreamOptions, type Subscription } from "./live";

export * from "./core";
export * from "./live";

/** Of the contract that this client was made from: a build records it. */
export const CONTRACT_HASH = "860e6b044760ae92";

/** Why a request failed, in a word that never changes. */
export type ProblemCode =
  | "malformed-body"
  | "malformed-request"
  | "unauthenticated"
  | "token-expired"
  | "token-invalid"
  | "token-foreign"
  | "plan-limit-reached"
  | "forbidden"
  | "cross-site-request"
  | "tenant-suspended"
  | "unknown-host"
  | "unknown-path"
  | "not-found"
  | "method-not-allowed"
  | "conflict"
  | "body-too-large"
  | "validation-failed"
  | "too-many-requests"
  | "headers-too-large"
  | "internal"
  | "service-failed"
  | "service-memory-limit"
  | "service-unavailable"
  | "service-overloaded"
  | "data-unavailable"
  | "backend-unavailable"
  | "service-cpu-limit"
  | "service-timeout";

/** A board: three columns of tasks. */
export interface Board {
  /** When it was made. */
  created_at: Timestamp;
  /** The member who made it. */
  created_by: string;
  /** Its number. */
  id: number;
  /** How many tasks it has, in all columns. */
  tasks_count: number;
  /** What its members call it. */
  title: string;
}

/** A board with its tasks. */
export interface BoardDetail {
  /** The board. */
  board: Board;
  /** Its columns, from left to right. */
  columns: Column[];
  /** Its tasks, by column and then by position: at most 2,000, of `board.tasks_count`. */
  tasks: Task[];
}

/** One page of boards. */
export interface BoardPage {
  /** Boards, oldest first. */
  items: Board[];
  /** Where the next page begins; null on the last one. */
  next_page_token: string | null;
}

/** A column of a board. */
export type Column = "todo" | "doing" | "done";

/** What a member said about a task. */
export interface Comment {
  /** The member who said it. */
  author: string;
  /** What the member was called then. */
  author_name: string;
  /** When it was said. */
  created_at: Timestamp;
  /** Its number. */
  id: number;
  /** The task that it is about. */
  task: number;
  /** What was said. */
  text: string;
}

/** One page of comments. */
export interface CommentPage {
  /** Comments, newest first. */
  items: Comment[];
  /** Where the next page begins; null on the last one. */
  next_page_token: string | null;
}

/** Who wants to sign in. */
export interface Credentials {
  /** The member's address. */
  email: string;
  /** The member's password. */
  password: string;
}

/** One field that is not valid. */
export interface FieldError {
  /** What is wrong with it, in a sentence. */
  detail: string;
  /** A JSON pointer (RFC 6901) into the body: `/title`. */
  pointer: string;
}

/** How much of each feature. null: as much as they like. */
export interface Limits {
  /** Tasks that may exist at once. */
  tasks: number | null;
}

/** Somebody who may use this workspace. */
export interface Member {
  /** When they came. */
  created_at: Timestamp;
  /** The address to sign in with. */
  email: string;
  /** `m_` and what nobody can guess. */
  id: string;
  /** What to call them. */
  name: string;
  /** What they may do. */
  role: Role;
}

/** One page of members. */
export interface MemberPage {
  /** Members, by address. */
  items: Member[];
  /** Where the next page begins; null on the last one. */
  next_page_token: string | null;
}

/** Somebody to be added. */
export interface MemberToAdd {
  /** At most 254 characters. */
  email: string;
  /** 1 to 100 characters. */
  name: string;
  /** At least 10 characters. */
  password: string;
  /** What they may do. */
  role: Role;
}

/** A board to be made. */
export interface NewBoard {
  /** 1 to 120 characters. */
  title: string;
}

/** A comment to be made. */
export interface NewComment {
  /** 1 to 4,000 characters. */
  text: string;
}

/** A task to be made. */
export interface NewTask {
  column?: Column | null;
  /** 1 to 200 characters. */
  title: string;
}

/** What is sold. */
export type Plan = "free" | "team";

/** The plan that is wanted. */
export interface PlanChange {
  plan: Plan;
}

/** A plan, what it allows and what is used. */
export interface PlanUsage {
  limits: Limits;
  plan: Plan;
  usage: Usage;
}

/**
 * The body of every answer that is no success. It carries a stable code; an inner message never
 * gets here.
 */
export interface Problem {
  /** The stable code. */
  code: string;
  /** What happened this time, for people. */
  detail?: string | null;
  /** The fields that are not valid, for `validation-failed`. */
  errors?: FieldError[];
  /** What to quote when asking for help. */
  request_id?: string | null;
  /** The HTTP status, repeated. */
  status: number;
  /** The code in one short sentence. */
  title: string;
  /** A page about this code. */
  type: string;
}

/** What a member may do. */
export type Role = "owner" | "member";

/** Who is signed in, and where. */
export interface Session {
  member: Member;
  tenant: Workspace;
}

/** A task. */
export interface Task {
  /** The member who does it. */
  assignee: string | null;
  /** The board that it is on. */
  board: number;
  /** The column that it is in. */
  column: Column;
  /** How many comments it has. */
  comments_count: number;
  /** When it was made. */
  created_at: Timestamp;
  /** The member who made it. */
  created_by: string;
  /** More about it. */
  description: string;
  /** Its number. */
  id: number;
  /** Its place in the column: smaller is higher. Between two others, send a number between theirs. */
  position: number;
  /** What is to be done. */
  title: string;
  /** When it last changed. */
  updated_at: Timestamp;
  /** Grows by one with each change. Send it as `If-Match: "<version>"` to change what you saw. */
  version: number;
}

/** What is to be different. What is left out stays as it is. */
export interface TaskChange {
  /** A member's id, or null for nobody. */
  assignee?: string | null;
  column?: Column | null;
  /** At most 10,000 characters. */
  description?: string | null;
  /** Its place in the column. */
  position?: number | null;
  /** 1 to 200 characters. */
  title?: string | null;
}

/** A task with the newest of its comments. */
export interface TaskDetail {
  /** Its newest comments, oldest of them first: at most 100, of `task.comments_count`. */
  comments: Comment[];
  /** The task. */
  task: Task;
}

export type Timestamp = string;

/** How much of each feature is used. */
export interface Usage {
  /** Tasks that exist. It follows the tasks service by moments. */
  tasks: number;
}

/** The tenant, as its members may see it. */
export interface Workspace {
  /** Its id. */
  id: string;
  /** What its members call it. */
  name: string;
  /** Its plan, as the platform knows it. */
  plan: string;
  /** The first label of its address. */
  slug: string;
}

/** A client of this origin, or of `baseUrl`. */
export function createClient(options: ClientOptions = {}) {
  const core = new Core(options);
  return {
    billing: {
      /** Changes the workspace's plan. Only an owner may. */
      changePlan: (body: PlanChange, options: RequestOptions = {}): Promise<PlanUsage> =>
        core.request<PlanUsage>({ method: "PUT", path: "/api/billing/plan", body }, options),
      /** The workspace's plan, what it allows, and how much of that is used. */
      getPlan: (options: RequestOptions = {}): Promise<PlanUsage> =>
        core.request<PlanUsage>({ method: "GET", path: "/api/billing/plan" }, options),
    },
    identity: {
      /** Adds a member. Only an owner may. */
      createMember: (body: MemberToAdd, options: RequestOptions = {}): Promise<Member> =>
        core.request<Member>({ method: "POST", path: "/api/identity/members", body }, options),
      /** Signs a member in. Sets the cookies `__Host-session` and `__Host-refresh`. */
      createSession: (body: Credentials, options: RequestOptions = {}): Promise<Session> =>
        core.request<Session>({ method: "POST", path: "/api/identity/session", public: true, body }, options),
      /** Signs out: ends the family of the refresh token, and takes both cookies back. */
      deleteSession: (options: RequestOptions = {}): Promise<void> =>
        core.request<void>({ method: "DELETE", path: "/api/identity/session", public: true }, options),
      /** Who is signed in, and where. */
      getMe: (options: RequestOptions = {}): Promise<Session> =>
        core.request<Session>({ method: "GET", path: "/api/identity/me" }, options),
      /** One member. */
      getMember: (params: { member: string }, options: RequestOptions = {}): Promise<Member> =>
        core.request<Member>({ method: "GET", path: "/api/identity/members/{member}", params }, options),
      /** Members of this workspace, by address. */
      listMembers: (params: { page_size?: number; page_token?: string } = {}, options: RequestOptions = {}): Promise<MemberPage> =>
        core.request<MemberPage>({ method: "GET", path: "/api/identity/members", params, query: ["page_size", "page_token"] }, options),
      /** Renews the session by the cookie `__Host-refresh`, which is replaced by the next one. */
      refreshSession: (options: RequestOptions = {}): Promise<Session> =>
        core.request<Session>({ method: "POST", path: "/api/identity/session/refresh", public: true }, options),
    },
    tasks: {
      /** Makes a board. */
      createBoard: (body: NewBoard, options: RequestOptions = {}): Promise<Board> =>
        core.request<Board>({ method: "POST", path: "/api/tasks/boards", idempotent: true, body }, options),
      /** Says something about a task. */
      createComment: (params: { task: number }, body: NewComment, options: RequestOptions = {}): Promise<Comment> =>
        core.request<Comment>({ method: "POST", path: "/api/tasks/tasks/{task}/comments", idempotent: true, params, body }, options),
      /** Makes a task at the end of a column. */
      createTask: (params: { board: number }, body: NewTask, options: RequestOptions = {}): Promise<Task> =>
        core.request<Task>({ method: "POST", path: "/api/tasks/boards/{board}/tasks", idempotent: true, params, body }, options),
      /** Deletes a board with its tasks and comments. */
      deleteBoard: (params: { board: number }, options: RequestOptions = {}): Promise<void> =>
        core.request<void>({ method: "DELETE", path: "/api/tasks/boards/{board}", params }, options),
      /** Deletes a task with its comments. */
      deleteTask: (params: { task: number }, options: RequestOptions = {}): Promise<void> =>
        core.request<void>({ method: "DELETE", path: "/api/tasks/tasks/{task}", params }, options),
      /** A board with its tasks. */
      getBoard: (params: { board: number }, options: RequestOptions = {}): Promise<BoardDetail> =>
        core.request<BoardDetail>({ method: "GET", path: "/api/tasks/boards/{board}", params }, options),
      /** A task with its comments. `ETag` is its version. */
      getTask: (params: { task: number }, options: RequestOptions = {}): Promise<TaskDetail> =>
        core.request<TaskDetail>({ method: "GET", path: "/api/tasks/tasks/{task}", params }, options),
      /** Boards of this workspace, oldest first. */
      listBoards: (params: { page_size?: number; page_token?: string } = {}, options: RequestOptions = {}): Promise<BoardPage> =>
        core.request<BoardPage>({ method: "GET", path: "/api/tasks/boards", params, query: ["page_size", "page_token"] }, options),
      /** Comments on a task, newest first. */
      listComments: (params: { task: number; page_size?: number; page_token?: string }, options: RequestOptions = {}): Promise<CommentPage> =>
        core.request<CommentPage>({ method: "GET", path: "/api/tasks/tasks/{task}/comments", params, query: ["page_size", "page_token"] }, options),
      /** Changes a task: its words, its place, who does it. */
      updateTask: (params: { task: number }, body: TaskChange, options: RequestOptions = {}): Promise<Task> =>
        core.request<Task>({ method: "PATCH", path: "/api/tasks/tasks/{task}", params, body }, options),
    },
    /** What happens in this workspace, as it happens. */
    events: (options: EventsOptions): Subscription => openEvents(core, options),
    /** Any other stream of server-sent events. */
    stream: (options: StreamOptions): Subscription => openStream(core, options),
  };
}

export type Client = ReturnType<typeof createClient>;
