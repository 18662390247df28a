// The one place where this site keeps state: who is signed in, what the server said, what is being written, and the
// live events that change it.
import { Connection, QueryCache, reason, toasts } from '@terrace/site';
import { SvelteMap, SvelteSet } from 'svelte/reactivity';
import { api, observer, type Board, type BoardDetail, type Column, type Session, type Task, type TaskChange, type TaskDetail, type TerraceEvent } from './api.ts';
import { applyChange, changeOf, columnTitle, moved, positionAt, withTask, withVersion, type Change, type Place } from './board.ts';

/** How long a delete waits for its undo. */
const UNDO_MS = 5000;
/** How long a card that somebody else changed stays marked. */
const MARK_MS = 1600;

class Workspace {
  /** `starting` until the server has said who is here; `unreachable` when nobody could say it. */
  phase: 'starting' | 'unreachable' | 'signed-out' | 'signed-in' = $state('starting');
  me: Session | null = $state.raw(null);
  cache = new QueryCache();
  connection = new Connection(
    () => (this.phase === 'signed-in' ? api.me() : this.start()),
    () => this.#recover(),
  );

  /** Tasks that wait for their delete to be sent. */
  deleting = new SvelteSet<Task['id']>();
  /** Tasks that another window has just changed. */
  marked = new SvelteSet<Task['id']>();
  #writing = new Map<Task['id'], number>();
  #held = new Map<Task['id'], Task>();
  #undo = new SvelteMap<Task['id'], ReturnType<typeof setTimeout>>();
  #stream: { close(): void } | null = null;

  constructor() {
    observer.answered = (answered) => this.connection.report(answered);
    observer.signedOut = () => this.#leave();
    addEventListener('pagehide', () => this.#flushDeletes());
  }

  /** Finds out who is here. Rejects when nobody answers, so that the connection keeps asking. */
  async start(): Promise<void> {
    try {
      this.#enter(await api.me());
    } catch (error) {
      if (this.phase === 'starting') this.phase = 'unreachable';
      throw error;
    }
  }

  async signIn(email: string, password: string): Promise<void> {
    this.#enter(await api.signIn(email, password));
  }

  async signOut(): Promise<void> {
    try {
      this.#flushDeletes();
      await api.signOut();
      this.#leave();
    } catch (error) {
      if (this.me) toasts.failed(`You are still signed in. ${reason(error)}`);
    }
  }

  get isOwner(): boolean {
    return this.me?.member.role === 'owner';
  }

  /** Moves a task at once on the page and then on the server; takes it back when the server does not agree. */
  async move(task: Task, place: Place): Promise<void> {
    const board = this.#board(task.board);
    if (!board?.data) return;
    const position = positionAt(board.data.tasks, task.id, place);
    board.update((view) => moved(view, task.id, place));
    await this.#write(task, { column: place.column, position }, `«${task.title}» could not be moved to ${columnTitle(place.column)}.`);
  }

  /** Changes a task. Resolves to false when it could not be saved and `onfail` has been told. */
  async change(task: Task, change: TaskChange): Promise<void> {
    await this.#hold(task.id, async () => this.#settle(await api.updateTask(task.id, change)));
  }

  /** Adds a task; what could not be saved is for the form to say, which keeps the text. */
  async add(board: Board['id'], title: string, column: Column, key: string): Promise<Task> {
    const task = await api.createTask(board, title, column, key);
    this.#board(board)?.update((view) => withVersion(view, task));
    void this.cache.peek('plan')?.refresh();
    return task;
  }

  async comment(task: Task['id'], text: string, key: string): Promise<void> {
    const comment = await api.comment(task, text, key);
    this.cache.peek<TaskDetail>(`task/${task}`)?.update((view) => {
      const known = view.comments.some(({ id }) => id === comment.id);
      return known ? view : { ...view, comments: [...view.comments, comment] };
    });
  }

  /** Takes a task away at once, and deletes it when nobody has asked for it back for a while. */
  remove(task: Task): void {
    this.deleting.add(task.id);
    this.#undo.set(
      task.id,
      setTimeout(() => void this.#deleteNow(task.id, task.title), UNDO_MS),
    );
    toasts.done(`Deleted «${task.title}».`, { label: 'Undo', run: () => this.restore(task.id) });
  }

  restore(task: Task['id']): void {
    clearTimeout(this.#undo.get(task));
    this.#undo.delete(task);
    this.deleting.delete(task);
  }

  async #deleteNow(task: Task['id'], title: string): Promise<void> {
    if (!this.#undo.delete(task)) return;
    try {
      await api.deleteTask(task);
      this.#gone(task);
    } catch (error) {
      toasts.failed(`«${title}» could not be deleted and is back on the board. ${reason(error)}`);
    } finally {
      this.deleting.delete(task);
    }
  }

  #gone(task: Task['id']): void {
    for (const key of this.#boardKeys) {
      this.cache.peek<BoardDetail>(key)?.update((view) => applyChange(view, { kind: 'deleted', task }));
    }
    void this.cache.peek('plan')?.refresh();
  }

  #flushDeletes(): void {
    for (const [task, timer] of this.#undo) {
      clearTimeout(timer);
      void this.#deleteNow(task, '');
    }
  }

  async #write(task: Task, change: TaskChange, failure: string): Promise<void> {
    try {
      await this.#hold(task.id, async () => this.#settle(await api.updateTask(task.id, change)));
    } catch (error) {
      // Back to how it was, unless something newer has arrived.
      this.#board(task.board)?.update((view) => withTask(view, task.id, (now) => (now.version > task.version ? now : task)));
      toasts.failed(`${failure} ${reason(error)}`, { label: 'Try again', run: () => void this.#write(task, change, failure) });
    }
  }

  /** While a task is being written here, its live events are held: they would show the card jumping back and forth. */
  async #hold(task: Task['id'], write: () => Promise<void>): Promise<void> {
    this.#writing.set(task, (this.#writing.get(task) ?? 0) + 1);
    try {
      await write();
    } finally {
      const left = (this.#writing.get(task) ?? 1) - 1;
      if (left > 0) {
        this.#writing.set(task, left);
      } else {
        this.#writing.delete(task);
        const held = this.#held.get(task);
        this.#held.delete(task);
        if (held) this.#settle(held);
      }
    }
  }

  /** Takes over a task as the server has it, unless another write of it is still under way. */
  #settle(task: Task): void {
    if ((this.#writing.get(task.id) ?? 0) > 1) return;
    this.#board(task.board)?.update((view) => withVersion(view, task));
    this.cache.peek<TaskDetail>(`task/${task.id}`)?.update((view) => (view.task.version > task.version ? view : { ...view, task }));
  }

  #boardKeys = new Set<string>();

  #board(board: Board['id']) {
    const key = `board/${board}`;
    this.#boardKeys.add(key);
    return this.cache.peek<BoardDetail>(key);
  }

  #enter(me: Session): void {
    this.me = me;
    this.phase = 'signed-in';
    this.connection.report(true);
    if (!this.#stream) this.#listen();
  }

  /** Live events from now on. What happened before is read when the stream is live. */
  #listen(): void {
    this.#stream?.close();
    this.#stream = api.events({
      onEvent: (event) => this.#receive(event),
      onReset: () => void this.cache.refreshShown(),
      onStatus: (status) => this.connection.streamed(status),
      // It ends for good when nobody is signed in any more; the next answer says so.
      onProblem: () => void api.me().catch(() => undefined),
    });
  }

  /** The backend answers again. The stream waits ever longer between its attempts, so it is opened anew. */
  #recover(): void {
    void this.cache.refreshShown();
    if (this.#stream && this.connection.stream !== 'live') this.#listen();
  }

  #leave(): void {
    this.#stream?.close();
    this.#stream = null;
    this.connection.stream = 'idle';
    this.me = null;
    this.cache.clear();
    this.phase = 'signed-out';
  }

  #receive(event: TerraceEvent): void {
    if (event.type.startsWith('tasks.board.')) void this.cache.refreshShown();
    if (event.type.startsWith('billing.')) void this.cache.peek('plan')?.refresh();
    const board = /^board\/(\d+)$/.exec(event.topic)?.[1];
    if (board === undefined) return;
    this.#apply(Number(board), event.type, changeOf(event));
  }

  #apply(board: number, type: string, change: Change): void {
    const query = this.#board(board);
    if (change.kind === 'unknown') {
      void query?.refresh();
      return;
    }
    const id = change.kind === 'task' ? change.task.id : change.task;
    if (change.kind === 'task') {
      if (this.#writing.has(id)) {
        const held = this.#held.get(id);
        if (!held || held.version < change.task.version) this.#held.set(id, change.task);
        return;
      }
      const known = query?.data?.tasks.find((task) => task.id === id);
      if (query?.data && (!known || known.version < change.task.version)) this.#mark(id);
      this.cache.peek<TaskDetail>(`task/${id}`)?.update((view) =>
        view.task.version > change.task.version ? view : { ...view, task: change.task },
      );
    } else if (change.kind === 'commented') {
      void this.cache.peek(`task/${id}`)?.refresh();
    }
    query?.update((view) => applyChange(view, change));
    if (type === 'tasks.task.created' || change.kind === 'deleted') {
      void this.cache.peek('plan')?.refresh();
      void this.cache.peek('boards')?.refresh();
    }
  }

  #mark(task: Task['id']): void {
    this.marked.add(task);
    setTimeout(() => this.marked.delete(task), MARK_MS);
  }
}

export const workspace = new Workspace();
