// Everything this site asks of the server, in its own words, over the generated client. No other file calls it.
import {
  createClient,
  type Board,
  type BoardDetail,
  type Column,
  type Comment,
  type Member,
  type MemberToAdd,
  type Plan,
  type PlanUsage,
  type Session,
  type Task,
  type TaskChange,
  type TaskDetail,
  type TerraceEvent,
} from '@terrace/client';
import { isUnreachable, problemOf } from '@terrace/site';

export type { Board, BoardDetail, Column, Comment, Member, MemberToAdd, Plan, PlanUsage, Session, Task, TaskChange, TaskDetail, TerraceEvent };

const client = createClient({
  // A delete that waited for its undo may be sent while the tab closes.
  fetch: (input, init) => fetch(input, init?.method === 'DELETE' ? { ...init, keepalive: true } : init),
});

/** Told how every call ended: whether anybody answered, and whether the session is over. */
export const observer = {
  answered: (_answered: boolean): void => {},
  signedOut: (): void => {},
};

async function call<T>(answer: Promise<T>): Promise<T> {
  try {
    const value = await answer;
    observer.answered(true);
    return value;
  } catch (error) {
    observer.answered(!isUnreachable(error));
    if (problemOf(error)?.status === 401) observer.signedOut();
    throw error;
  }
}

/** Every item of a list that comes in pages. */
async function all<T>(page: (page_token?: string) => Promise<{ items: T[]; next_page_token: string | null }>): Promise<T[]> {
  const items: T[] = [];
  for (let token: string | null | undefined; token !== null; ) {
    const next = await call(page(token));
    items.push(...next.items);
    token = next.next_page_token;
  }
  return items;
}

// A `key` names one intention of the member: sent again after a lost answer, it still happens once.
export const api = {
  /** Not observed for 401: there, a wrong password is the answer and not the end of a session. */
  signIn: (email: string, password: string) => client.identity.createSession({ email, password }),
  signOut: () => call(client.identity.deleteSession()),
  me: () => call(client.identity.getMe()),
  members: () => all((page_token) => client.identity.listMembers({ page_size: 200, ...(page_token ? { page_token } : {}) })),
  addMember: (member: MemberToAdd) => call(client.identity.createMember(member)),

  boards: () => all((page_token) => client.tasks.listBoards({ page_size: 200, ...(page_token ? { page_token } : {}) })),
  createBoard: (title: string, key: string) => call(client.tasks.createBoard({ title }, { idempotencyKey: key })),
  deleteBoard: (board: number) => call(client.tasks.deleteBoard({ board })),
  board: (board: number) => call(client.tasks.getBoard({ board })),

  createTask: (board: number, title: string, column: Column, key: string) =>
    call(client.tasks.createTask({ board }, { title, column }, { idempotencyKey: key })),
  task: (task: number) => call(client.tasks.getTask({ task })),
  updateTask: (task: number, change: TaskChange) => call(client.tasks.updateTask({ task }, change)),
  deleteTask: (task: number) => call(client.tasks.deleteTask({ task })),
  comment: (task: number, text: string, key: string) => call(client.tasks.createComment({ task }, { text }, { idempotencyKey: key })),

  plan: () => call(client.billing.getPlan()),
  choosePlan: (plan: Plan) => call(client.billing.changePlan({ plan })),

  events: client.events,
};
