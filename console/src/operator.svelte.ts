// The console's state: who is signed in, what the control API said, and the live figures.
import { Connection, QueryCache, reason, toasts, type Query } from '@terrace/site';
import { api, observer, type Meters, type Session, type Subscription } from './api.ts';

class OperatorState {
  /** `starting` until the control API has said who is here; `unreachable` when nobody could say it. */
  phase: 'starting' | 'unreachable' | 'signed-out' | 'signed-in' = $state('starting');
  session: Session | null = $state.raw(null);
  cache = new QueryCache();
  connection = new Connection(
    () => (this.phase === 'signed-in' ? api.session() : this.start()),
    () => this.#recover(),
  );
  #stream: Subscription | null = null;

  constructor() {
    observer.answered = (answered) => this.connection.report(answered);
    observer.signedOut = () => this.#leave();
  }

  /** Finds out who is here. Rejects when nobody answers, so that the connection keeps asking. */
  async start(): Promise<void> {
    try {
      this.#enter(await api.session());
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
      await api.signOut();
      this.#leave();
    } catch (error) {
      if (this.session) toasts.failed(`You are still signed in. ${reason(error)}`);
    }
  }

  /** The figures: the stream fills this entry of the cache, and a page that has none yet asks once. */
  get meters(): Query<Meters> {
    return this.cache.query('meters', api.meters);
  }

  #enter(session: Session): void {
    this.session = session;
    this.phase = 'signed-in';
    this.connection.report(true);
    if (!this.#stream) this.#listen();
  }

  #listen(): void {
    this.#stream?.close();
    this.#stream = api.watchMeters(
      (meters) => this.meters.set(meters),
      (status) => this.connection.streamed(status),
      // It ends for good when nobody is signed in any more; the next answer says so.
      () => void api.session().catch(() => undefined),
    );
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
    this.session = null;
    this.cache.clear();
    this.phase = 'signed-out';
  }
}

export const operator = new OperatorState();
