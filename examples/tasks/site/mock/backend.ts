// The Tasks product in memory, for `npm run dev` and browser tests: the same contract, no server, no database.
import type { Board, Column, Comment, Member, Plan, PlanUsage, Session, Task, TerraceEvent } from '@terrace/client';
import { mockBackend, MockProblem, type MockAnswer, type MockEvent, type MockRequest } from '@terrace/site/mock';
import type { Plugin } from 'vite';

const PASSWORD = 'terrace-demo-2026';
const FREE_LIMIT = 100;
const tenant = { id: 't_7f3k9q2m', slug: 'acme', name: 'Acme', plan: 'free' };
const yesterday = new Date(Date.now() - 86_400_000).toISOString();
const ada: Member = { id: 'm_ada', email: 'ada@acme.example', name: 'Ada Lovelace', role: 'owner', created_at: yesterday };
const bob: Member = { id: 'm_bob', email: 'bob@acme.example', name: 'Bob Marsh', role: 'member', created_at: yesterday };

const SAMPLE: [column: Column, title: string, description: string, assignee: string | null][] = [
  ['todo', 'Write the release notes for September', 'What changed, in the words of those who use it.', ada.id],
  ['todo', 'Ask three customers how they invite people', '', null],
  ['todo', 'The export of a board loses its comments', 'Seen with boards over 50 tasks.', bob.id],
  ['todo', 'Renew the certificate of the status page', '', null],
  ['doing', 'Sign-in with a passkey', 'Registration works; recovery is open.', ada.id],
  ['doing', 'Shorter first load on slow phones', '', bob.id],
  ['done', 'Dark theme', '', ada.id],
  ['done', 'Move cards with the keyboard', 'Arrows walk, Shift with arrows moves.', bob.id],
  ['done', 'Undo for deleted tasks', '', null],
];

/** One workspace and everything in it. */
class World {
  boards: Board[] = [];
  tasks: Task[] = [];
  comments: Comment[] = [];
  members: Member[] = [ada, bob];
  plan: Plan = 'free';
  usageOffset = 0;
  seq = 0;
  listeners = new Set<(event: MockEvent) => void>();
  #next = 1;

  constructor(sample: boolean) {
    if (!sample) return;
    const launch = this.addBoard('Autumn release');
    this.addBoard('Support rota');
    this.addBoard('Office move');
    for (const [column, title, description, assignee] of SAMPLE) {
      Object.assign(this.addTask(launch.id, title, column), { description, assignee });
    }
    this.addComment(this.tasks[2]!, bob, 'It is the page size. I have a fix, but want a test first.');
    this.addComment(this.tasks[2]!, ada, 'Good. The export test in the spring release is close to what you need.');
  }

  id(): number {
    return this.#next++;
  }

  addBoard(title: string): Board {
    const board: Board = { id: this.id(), title, created_by: ada.id, created_at: yesterday, tasks_count: 0 };
    this.boards.push(board);
    return board;
  }

  addTask(board: number, title: string, column: Column, by: Member = ada): Task {
    const now = new Date().toISOString();
    const position = 1024 + Math.max(0, ...this.tasks.filter((task) => task.column === column).map((task) => task.position));
    const task: Task = {
      id: this.id(),
      board,
      title,
      description: '',
      column,
      position,
      assignee: null,
      created_by: by.id,
      created_at: now,
      updated_at: now,
      version: 1,
      comments_count: 0,
    };
    this.tasks.push(task);
    return task;
  }

  addComment(task: Task, author: Member, text: string): Comment {
    const created_at = new Date().toISOString();
    const comment: Comment = { id: this.id(), task: task.id, author: author.id, author_name: author.name, text, created_at };
    this.comments.push(comment);
    task.comments_count += 1;
    return comment;
  }

  counted(board: Board): Board {
    return { ...board, tasks_count: this.tasks.filter((task) => task.board === board.id).length };
  }

  publish(type: string, topic: string, data: unknown): void {
    this.seq += 1;
    const event = { seq: this.seq, type, topic, data, time: new Date().toISOString() } satisfies TerraceEvent;
    for (const send of this.listeners) send({ event: 'event', id: this.seq, data: event });
  }
}

/** The Vite plugin. Scenarios of `POST /api/mock`: `empty`, `sample`, `limit`, and those of the mock server. */
export function mock(): Plugin {
  let world = new World(true);

  const who = ({ cookie }: MockRequest): Member => {
    const id = /session=(\w+)/.exec(cookie)?.[1];
    const member = world.members.find((found) => found.id === id);
    if (!member) throw new MockProblem(401, 'unauthenticated', 'Please sign in');
    return member;
  };
  const me = (member: Member): Session => ({ member, tenant: { ...tenant, plan: world.plan } });
  const find = <T extends { id: number }>(list: T[], id: string | undefined): T => {
    const found = list.find((one) => String(one.id) === id);
    if (!found) throw new MockProblem(404, 'not-found', 'Not found');
    return found;
  };
  const need = (value: unknown, pointer: string): string => {
    if (typeof value === 'string' && value.trim() !== '') return value.trim();
    throw new MockProblem(422, 'validation-failed', 'Some fields are not valid', 'Some fields are not valid.', [
      { pointer, detail: 'Must not be empty.' },
    ]);
  };
  const usage = (): PlanUsage => ({
    plan: world.plan,
    limits: { tasks: world.plan === 'free' ? FREE_LIMIT : null },
    usage: { tasks: world.tasks.length + world.usageOffset },
  });

  const plugin = mockBackend(
    {
      'POST /api/identity/session': ({ body }): MockAnswer => {
        const member = world.members.find(({ email }) => email === body?.email);
        if (!member || body?.password !== PASSWORD) throw new MockProblem(401, 'unauthenticated', 'Email or password is wrong');
        return { body: me(member), headers: { 'set-cookie': `session=${member.id}; Path=/; HttpOnly; SameSite=Strict` } };
      },
      'DELETE /api/identity/session': () => ({ status: 204, headers: { 'set-cookie': 'session=; Path=/; Max-Age=0' } }),
      'POST /api/identity/session/refresh': () => {
        throw new MockProblem(401, 'unauthenticated', 'Please sign in');
      },
      'GET /api/identity/me': (request) => ({ body: me(who(request)) }),
      'GET /api/identity/members': (request) => {
        who(request);
        return { body: { items: world.members, next_page_token: null } };
      },
      'POST /api/identity/members': ({ body }) => {
        const member: Member = { id: `m_${world.id()}`, name: need(body?.name, '/name'), email: need(body?.email, '/email'), role: body.role, created_at: new Date().toISOString() };
        world.members = [...world.members, member];
        return { status: 201, body: member };
      },

      'GET /api/tasks/boards': (request) => {
        who(request);
        return { body: { items: world.boards.map((board) => world.counted(board)), next_page_token: null } };
      },
      'POST /api/tasks/boards': ({ body }) => {
        const board = world.addBoard(need(body?.title, '/title'));
        board.created_at = new Date().toISOString();
        world.publish('tasks.board.created', 'boards', board);
        return { status: 201, body: board };
      },
      'GET /api/tasks/boards/:board': (request) => {
        who(request);
        const board = find(world.boards, request.params['board']);
        const tasks = world.tasks.filter((task) => task.board === board.id);
        return { body: { board: world.counted(board), columns: ['todo', 'doing', 'done'], tasks } };
      },
      'DELETE /api/tasks/boards/:board': ({ params }) => {
        const board = find(world.boards, params['board']);
        world.boards = world.boards.filter((one) => one !== board);
        world.tasks = world.tasks.filter((task) => task.board !== board.id);
        world.publish('tasks.board.deleted', `board/${board.id}`, { id: board.id });
        return { status: 204 };
      },
      'POST /api/tasks/boards/:board/tasks': (request) => {
        const { limits, usage: used } = usage();
        if (limits.tasks !== null && used.tasks >= limits.tasks) {
          throw new MockProblem(402, 'plan-limit-reached', 'Plan limit reached', `Your plan includes ${limits.tasks} tasks.`);
        }
        const board = find(world.boards, request.params['board']);
        const task = world.addTask(board.id, need(request.body?.title, '/title'), request.body.column ?? 'todo', who(request));
        world.publish('tasks.task.created', `board/${board.id}`, { ...task });
        return { status: 201, body: task };
      },
      'GET /api/tasks/tasks/:task': ({ params }) => {
        const task = find(world.tasks, params['task']);
        return { body: { task, comments: world.comments.filter((comment) => comment.task === task.id) } };
      },
      'PATCH /api/tasks/tasks/:task': ({ params, body }) => {
        const task = find(world.tasks, params['task']);
        if (body.title !== undefined) need(body.title, '/title');
        Object.assign(task, body, { version: task.version + 1, updated_at: new Date().toISOString() });
        world.publish('position' in body ? 'tasks.task.moved' : 'tasks.task.updated', `board/${task.board}`, { ...task });
        return { body: task };
      },
      'DELETE /api/tasks/tasks/:task': ({ params }) => {
        const task = find(world.tasks, params['task']);
        world.tasks = world.tasks.filter((one) => one !== task);
        world.publish('tasks.task.deleted', `board/${task.board}`, { id: task.id, board: task.board });
        return { status: 204 };
      },
      'POST /api/tasks/tasks/:task/comments': (request) => {
        const task = find(world.tasks, request.params['task']);
        const comment = world.addComment(task, who(request), need(request.body?.text, '/text'));
        world.publish('tasks.comment.created', `board/${task.board}`, comment);
        return { status: 201, body: comment };
      },

      'GET /api/billing/plan': (request) => {
        who(request);
        return { body: usage() };
      },
      'PUT /api/billing/plan': (request) => {
        if (who(request).role !== 'owner') throw new MockProblem(403, 'forbidden', 'Only an owner may change the plan');
        world.plan = request.body.plan;
        world.publish('billing.entitlement-changed', 'plan', { feature: 'tasks', limit: usage().limits.tasks });
        return { body: usage() };
      },

      'GET /api/events': (request) => {
        who(request);
        return {
          stream: (send) => {
            world.listeners.add(send);
            send({ event: 'caught-up', data: { seq: world.seq } });
            return () => world.listeners.delete(send);
          },
        };
      },
    },
    (scenario) => {
      const { listeners } = world;
      world = new World(scenario !== 'empty');
      world.listeners = listeners;
      if (scenario === 'limit') world.usageOffset = FREE_LIMIT - world.tasks.length;
    },
  );
  return plugin;
}
