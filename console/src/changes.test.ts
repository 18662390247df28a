import { expect, test } from 'vitest';
import { changesOf, happenedWords } from './changes.ts';

test('each difference is a line, and what breaks comes first', () => {
  const changes = changesOf({
    against: 'r_23456789ab',
    same: false,
    breaking: true,
    asks: [{ kind: 'http', name: 'api.example.com' }],
    drops: [{ kind: 'call', name: 'billing' }],
    settings: [{ name: 'limits.cpu_ms', before: '200', after: null }],
    migrations: [{ name: '0004_titles', takes_away: ['drops the column `task.title`'], makes_wait: [] }],
    contract: [
      { breaking: false, place: 'GET /api/tasks/cards', detail: 'a new operation' },
      { breaking: true, place: 'GET /api/tasks/boards', detail: 'the operation is gone' },
    ],
  });
  expect(changes.map(({ mark, text }) => `${mark} ${text}`)).toEqual([
    '! Migration 0004_titles drops the column `task.title`: there is no way back',
    '! Breaks clients: GET /api/tasks/boards: the operation is gone',
    '+ Newly asks for http api.example.com',
    '- Asks no more for call billing',
    '~ limits.cpu_ms is none, 200 in the served release',
    '+ Migration 0004_titles',
    '~ GET /api/tasks/cards: a new operation',
  ]);
});

test('a first release asks, and nothing is new about it', () => {
  const nothing = { same: false, breaking: false, drops: [], settings: [], migrations: [], contract: [] };
  expect(changesOf({ ...nothing, against: null, asks: [{ kind: 'capability', name: 'sql' }] }).map(({ text }) => text)).toEqual(['Asks for capability sql']);
});

test('what a newer node says is shown as it is', () => {
  expect(happenedWords('rolled-back-by-budget')).toBe('taken away by its error budget');
  expect(happenedWords('painted')).toBe('painted');
});
