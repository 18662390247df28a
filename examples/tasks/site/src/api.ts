// Everything this site asks of the server, in its own words, over the generated client. No other file calls it.
import { createClient, type Board, type Comment, type Member, type Task, type TerraceEvent } from '@terrace/client';
import { isUnreachable, problemOf } from '@terrace/site';

export type { Board, Comment, Member, Task, TerraceEvent };
export type Column = 'todo' | 'doing' | 'done';

/** Who is signed in, and to which workspace. */
export interface Me {
  member: Member;
  tenant: { id: string; slug: string; name: string; plan: string };
}

/** A board with its tasks, in no particular order. */
export interface BoardView {
  board: Board;
  tasks: Task[];
}

/** One task with what was said about it, oldest first. */
export interface TaskView {
  task: Task;
  comments: Comment[];
}

export interface Plan {
  plan: string;
  limits: { tasks?: number | null };
  usage: { tasks: number };
}

/** What a member may change about a task. */
export interface TaskChange {
  title?: string;
  description?: string;
  column?: Column;
  position?: number;
  assignee?: string | null;
}

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

export const api = {
  /** Not observed for 401: there, a wrong password is the answer and not the end of a session. */
  signIn: (email: string, password: string): Promise<Me> => client.identity.signIn({}, { email, password }),
  signOut: () => call(client.identity.signOut()),
  me: (): Promise<Me> => call(client.identity.getMe()),
  members: async (): Promise<Member[]> => (await call(client.identity.listMembers())).items,
  addMember: (member: { email: string; name: string; password: string; role: string }): Promise<Member> =>
    call(client.identity.createMember({}, member)),

  boards: async (): Promise<Board[]> => (await call(client.tasks.listBoards({ page_size: 200 }))).items,
  createBoard: (title: string): Promise<Board> => call(client.tasks.createBoard({}, { title })),
  deleteBoard: (board: number) => call(client.tasks.deleteBoard({ board })),
  board: (board: number): Promise<BoardView> => call(client.tasks.getBoard({ board })),

  createTask: (board: number, title: string, column: Column): Promise<Task> =>
    call(client.tasks.createTask({ board }, { title, column })),
  task: (task: number): Promise<TaskView> => call(client.tasks.getTask({ task })),
  updateTask: (task: number, change: TaskChange): Promise<Task> => call(client.tasks.updateTask({ task }, change)),
  deleteTask: (task: number) => call(client.tasks.deleteTask({ task })),
  comment: (task: number, text: string): Promise<Comment> => call(client.tasks.createComment({ task }, { text })),

  plan: (): Promise<Plan> => call(client.billing.getPlan()),
  choosePlan: (plan: string): Promise<Plan> => call(client.billing.updatePlan({}, { plan })),

  events: client.events.bind(client),
};
