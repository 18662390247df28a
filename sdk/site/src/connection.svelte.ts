// Whether the backend answers and whether live updates flow, in one place, so that a page can say so plainly.

/** `stream` is what the live client reports; `idle` means that nothing was subscribed yet. */
export type StreamStatus = 'idle' | 'live' | 'reconnecting' | 'offline';

const PROBE_FIRST_MS = 1000;
const PROBE_LAST_MS = 8000;

export class Connection {
  stream: StreamStatus = $state('idle');
  reachable = $state(true);
  /** What the indicator shows. */
  status: 'connecting' | 'live' | 'reconnecting' | 'offline' = $derived.by(() => {
    if (!this.reachable) return 'offline';
    if (this.stream === 'idle') return 'connecting';
    return this.stream === 'reconnecting' || this.stream === 'offline' ? 'reconnecting' : 'live';
  });
  #probe: () => Promise<unknown>;
  #recovered: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wait = PROBE_FIRST_MS;

  /** `probe` asks the backend for something small; `recovered` is called once when it answers again. */
  constructor(probe: () => Promise<unknown>, recovered: () => void) {
    this.#probe = probe;
    this.#recovered = recovered;
  }

  /** Every call reports how it ended. Only answers that mean «nobody is there» count as lost. */
  report(answered: boolean): void {
    if (answered && !this.reachable) {
      this.reachable = true;
      this.#wait = PROBE_FIRST_MS;
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#recovered();
    } else if (!answered) {
      this.reachable = false;
      this.#schedule();
    }
  }

  /** The live client's word. A stream that opens proves that the backend is there; what came before it may be missed. */
  streamed(status: StreamStatus): void {
    const returned = status === 'live' && this.stream !== 'live';
    this.stream = status;
    if (status !== 'live') {
      // Whether only the stream broke or the backend is gone decides what the page says, so ask.
      if (status !== 'idle') this.#schedule();
      return;
    }
    if (!this.reachable) this.report(true);
    else if (returned) this.#recovered();
  }

  /** Asks now instead of at the next turn. */
  retry(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#wait = PROBE_FIRST_MS;
    void this.#ask();
  }

  #schedule(): void {
    if (this.#timer !== undefined) return;
    // Full jitter over the upper half: a thousand tabs must not come back in the same instant.
    const wait = this.#wait * (0.5 + Math.random() / 2);
    this.#wait = Math.min(this.#wait * 2, PROBE_LAST_MS);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#ask();
    }, wait);
  }

  async #ask(): Promise<void> {
    // The probe goes through the site's API wrapper, which reports the outcome here and so schedules the next.
    await this.#probe().catch(() => undefined);
  }
}
