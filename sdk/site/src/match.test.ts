// The laws of addresses.
import { expect, it } from 'vitest';
import { match } from './match.ts';

const routes = { boards: '/', board: '/boards/:board', task: '/boards/:board/tasks/:task' };

it('a path fits one route as a whole or none', () => {
  expect(match(routes, '/')).toEqual({ name: 'boards', params: {} });
  expect(match(routes, '/boards/7/')).toEqual({ name: 'board', params: { board: '7' } });
  expect(match(routes, '/boards/7/tasks/12')).toEqual({ name: 'task', params: { board: '7', task: '12' } });
  expect(match(routes, '/boards')).toBeNull();
  expect(match(routes, '/boards/7/tasks/12/more')).toBeNull();
});

it('parameters are decoded, and what cannot be decoded is no address', () => {
  expect(match(routes, '/boards/a%20b')?.params['board']).toBe('a b');
  expect(match(routes, '/boards/%E0%A4%A')).toBeNull();
});
