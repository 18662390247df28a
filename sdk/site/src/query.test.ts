// The laws of the query cache.
import { expect, it } from 'vitest';
import { Query, QueryCache } from './query.svelte.ts';

it('a failed refresh keeps what was there and says why', async () => {
  let fail = false;
  const query = new Query(async () => {
    if (fail) throw new Error('gone');
    return 1;
  });
  await query.refresh();
  fail = true;
  await query.refresh();
  expect(query.data).toBe(1);
  expect(query.error).toEqual(new Error('gone'));
});

it('an answer that set out before a change here does not undo it', async () => {
  const answers = ['old', 'new'];
  const query = new Query(async () => answers.shift() ?? 'none');
  query.set('start');
  const refreshed = query.refresh();
  query.update(() => 'changed here');
  await refreshed;
  expect(query.data).toBe('new');
});

it('calls made while one is under way share it', async () => {
  let calls = 0;
  const query = new Query(async () => ++calls);
  await Promise.all([query.refresh(), query.refresh()]);
  expect(calls).toBe(1);
});

it('only what is on the page is asked for again', async () => {
  const cache = new QueryCache();
  const asked: string[] = [];
  cache.query('shown', async () => asked.push('shown')).readers = 1;
  cache.query('hidden', async () => asked.push('hidden'));
  await cache.refreshShown();
  expect(asked).toEqual(['shown']);
});
