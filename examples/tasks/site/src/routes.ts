// The addresses of this site.
import { Router } from '@terrace/site';

export const router = new Router({
  boards: '/',
  board: '/boards/:board',
  task: '/boards/:board/tasks/:task',
  members: '/members',
  plan: '/plan',
});
