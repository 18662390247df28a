// The laws of the connection's state.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Connection } from './connection.svelte.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('a lost backend is asked for until it answers, and recovery is told once', async () => {
  let up = false;
  let recovered = 0;
  const connection: Connection = new Connection(
    async () => {
      connection.report(up);
      if (!up) throw new Error('gone');
    },
    () => (recovered += 1),
  );
  connection.report(false);
  await vi.advanceTimersByTimeAsync(20_000);
  expect([connection.status, recovered]).toEqual(['offline', 0]);
  up = true;
  await vi.advanceTimersByTimeAsync(8000);
  expect([connection.reachable, recovered]).toEqual([true, 1]);
});

it('a stream that breaks while the backend answers is only reconnecting', async () => {
  const connection: Connection = new Connection(async () => connection.report(true), () => undefined);
  connection.streamed('live');
  connection.streamed('offline');
  await vi.advanceTimersByTimeAsync(2000);
  expect(connection.status).toBe('reconnecting');
});

it('what happened before the stream was live is read again', () => {
  let read = 0;
  const connection = new Connection(async () => undefined, () => (read += 1));
  connection.streamed('live');
  connection.streamed('reconnecting');
  connection.streamed('live');
  expect(read).toBe(2);
});
