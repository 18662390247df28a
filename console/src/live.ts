// The live figures: server-sent events, opened again with patience whenever they end.
import type { StreamStatus } from '@terrace/site';
import { api, type Meters } from './api.ts';

const FIRST_MS = 500;
const LAST_MS = 8000;

/** Opens the stream of figures. Returns what closes it. */
export function watchMeters(onMeters: (meters: Meters) => void, onStatus: (status: StreamStatus) => void): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let wait = FIRST_MS;

  const open = () => {
    source = new EventSource(api.metersStream);
    source.addEventListener('meters', (event: MessageEvent<string>) => {
      wait = FIRST_MS;
      onStatus('live');
      onMeters(JSON.parse(event.data) as Meters);
    });
    // A stream that ends by plan is opened again without a word to the reader.
    source.addEventListener('bye', () => again(0));
    source.addEventListener('error', () => {
      onStatus('reconnecting');
      again(wait * (0.5 + Math.random() / 2));
      wait = Math.min(wait * 2, LAST_MS);
    });
  };
  // The browser's own way to come back gives up on an error answer, so it is not used.
  const again = (ms: number) => {
    source?.close();
    clearTimeout(timer);
    timer = setTimeout(open, ms);
  };

  open();
  return () => {
    clearTimeout(timer);
    source?.close();
  };
}
