// State from the server lives here and nowhere else: one entry per key, shown at once, refreshed behind the scenes.

/** One cached answer. `data` keeps its last value while a refresh runs or fails. */
export class Query<T> {
  data: T | undefined = $state.raw();
  error: unknown = $state.raw();
  loading = $state(false);
  readers = 0;
  #fetch: () => Promise<T>;
  #running: Promise<void> | null = null;
  #changedMeanwhile = false;

  constructor(fetch: () => Promise<T>) {
    this.#fetch = fetch;
  }

  /** Asks the server again. Calls made while one is under way share it. Never rejects: see `error`. */
  refresh(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** Changes the cached value, from a live event or ahead of an answer. Does nothing while there is no value. */
  update(change: (data: T) => T): void {
    if (this.data === undefined) return;
    this.data = change(this.data);
    this.#changedMeanwhile = true;
  }

  /** Replaces the value with one the server has just sent. */
  set(data: T): void {
    this.data = data;
    this.error = undefined;
    this.#changedMeanwhile = true;
  }

  async #run(): Promise<void> {
    this.loading = true;
    try {
      // An answer that set out before a change here would undo it, so it is asked for once more. Twice at most:
      // under a constant stream of changes the newest answer is good enough.
      for (let attempt = 0; attempt < 3; attempt++) {
        this.#changedMeanwhile = false;
        const data = await this.#fetch();
        if (this.#changedMeanwhile && attempt < 2) continue;
        this.data = data;
        break;
      }
      this.error = undefined;
    } catch (error) {
      this.error = error;
    } finally {
      this.loading = false;
    }
  }
}

/** The queries of one signed-in reader. */
export class QueryCache {
  #queries = new Map<string, Query<unknown>>();

  /** The entry of this key; `fetch` is used when the key is new. */
  query<T>(key: string, fetch: () => Promise<T>): Query<T> {
    let query = this.#queries.get(key) as Query<T> | undefined;
    if (!query) {
      query = new Query(fetch);
      this.#queries.set(key, query as Query<unknown>);
    }
    return query;
  }

  /** The entry of this key if somebody has asked for it before. */
  peek<T>(key: string): Query<T> | undefined {
    return this.#queries.get(key) as Query<T> | undefined;
  }

  /** Refreshes what is on the page. Called when the connection comes back. */
  async refreshShown(): Promise<void> {
    await Promise.all([...this.#queries.values()].filter((query) => query.readers > 0).map((query) => query.refresh()));
  }

  /** Forgets everything: the next reader may be somebody else. */
  clear(): void {
    this.#queries.clear();
  }
}

/** Shows a query in a component: cached data at once, a refresh on mount, and again whenever the key changes. */
export function shown<T>(cache: QueryCache, key: () => string, fetch: (key: string) => Promise<T>): { readonly query: Query<T> } {
  const query = $derived.by(() => {
    const name = key();
    return cache.query(name, () => fetch(name));
  });
  $effect(() => {
    const current = query;
    current.readers += 1;
    void current.refresh();
    return () => {
      current.readers -= 1;
    };
  });
  return {
    get query() {
      return query;
    },
  };
}
