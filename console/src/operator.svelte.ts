// The console's state: who is signed in, what the control API said, and the live figures.
import { Connection, QueryCache, reason, toasts, type Query } from '@terrace/site';
import { api, observer, type Meters, type Session } from './api.ts';
import { watchMeters } from './live.ts';

class OperatorState {
  /** `starting` until the control API has said who is here; `unreachable` when nobody could say it. */
  phase: 'starting' | 'unreachable' | 'signed-out' | 'signed-in' = $state('starting');
  session: Session | null = $state.raw(null);
  cache = new QueryCache();
  connection = new Connection(
    () => (this.phase === 'signed-in' ? api.session() : this.start()),
    () => void this.cache.refreshShown(),
  );
  #close: (() => void) | null = null;

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
    this.#close ??= watchMeters(
      (meters) => this.meters.set(meters),
      (status) => this.connection.streamed(status),
    );
  }

  #leave(): void {
    this.#close?.();
    this.#close = null;
    this.connection.stream = 'idle';
    this.session = null;
    this.cache.clear();
    this.phase = 'signed-out';
  }
}

export const operator = new OperatorState();
