// The laws of figures and words.
import { expect, it } from 'vitest';
import { fieldProblems, isUnreachable, reason } from './failure.ts';
import { ago, bytes, initials, latency, share } from './format.ts';

it('figures keep their unit and a width that lines up', () => {
  expect([latency(0.8412), latency(12.44), latency(1204)]).toEqual(['0.8 ms', '12.4 ms', '1.20 s']);
  expect([bytes(999), bytes(487_321), bytes(1_240_000)]).toEqual(['999 B', '487 kB', '1.2 MB']);
  expect([share(0, 0), share(0, 9), share(1, 1000), share(1, 8)]).toEqual(['0 %', '0 %', '0.10 %', '13 %']);
});

it('a time is told from where the reader stands', () => {
  const now = Date.parse('2026-09-10T12:00:00Z');
  expect(ago('2026-09-10T11:59:50Z', now)).toBe('just now');
  expect(ago('2026-09-10T11:55:00Z', now)).toBe('5 minutes ago');
  expect(ago('2026-09-09T12:00:00Z', now)).toBe('yesterday');
});

it('initials come from the first and the last name', () => {
  expect([initials('Ada Lovelace'), initials('bob'), initials('')]).toEqual(['AL', 'B', '?']);
});

it('a lost backend is told apart from a refusal', () => {
  const refused = { status: 402, code: 'plan-limit-reached', title: 'Plan limit reached', detail: 'Your plan includes 100 tasks.' };
  expect(isUnreachable({ status: 503, code: 'backend-unavailable', title: '' })).toBe(true);
  expect(isUnreachable({ status: 0, code: 'backend-unavailable', title: '' })).toBe(true);
  expect(isUnreachable(new TypeError('undefined is not a function'))).toBe(false);
  expect(isUnreachable(refused)).toBe(false);
  expect(reason(refused)).toBe('Your plan includes 100 tasks.');
});

it('the message of a refused field is found by the name of the field', () => {
  const errors = [{ pointer: '/owner/email', detail: 'Must be an address.' }];
  expect(fieldProblems({ status: 422, code: 'validation-failed', title: '', errors })).toEqual({ 'owner.email': 'Must be an address.' });
});
