// Short messages at the edge of the page: what was done, with a way back, or what could not be saved.

export interface Toast {
  id: number;
  kind: 'done' | 'failed';
  text: string;
  action: { label: string; run: () => void } | undefined;
}

const DONE_MS = 6000;
const FAILED_MS = 12_000;

class Toasts {
  list: Toast[] = $state.raw([]);
  #timers = new Map<number, ReturnType<typeof setTimeout>>();
  #next = 1;

  done(text: string, action?: Toast['action']): number {
    return this.#add('done', text, action, DONE_MS);
  }

  failed(text: string, action?: Toast['action']): number {
    return this.#add('failed', text, action, FAILED_MS);
  }

  dismiss(id: number): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  /** A message that somebody is reading or reaching for stays. */
  hold(id: number): void {
    clearTimeout(this.#timers.get(id));
  }

  release(id: number): void {
    this.#timers.set(
      id,
      setTimeout(() => this.dismiss(id), DONE_MS),
    );
  }

  #add(kind: Toast['kind'], text: string, action: Toast['action'], ms: number): number {
    const id = this.#next++;
    // The same sentence twice is noise: the newer one takes the older one's place.
    for (const toast of this.list) if (toast.text === text) this.dismiss(toast.id);
    this.list = [...this.list.slice(-2), { id, kind, text, action }];
    this.#timers.set(
      id,
      setTimeout(() => this.dismiss(id), ms),
    );
    return id;
  }
}

export const toasts = new Toasts();
