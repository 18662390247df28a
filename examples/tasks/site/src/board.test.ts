// The laws of order, moves and live events on a board.
import { describe, expect, it } from 'vitest';
import type { BoardDetail, Task } from './api.ts';
import { applyChange, changeOf, moved, neighbour, placeOf, positionAt, positionBetween, tasksIn, withVersion } from './board.ts';

function task(id: number, column: string, position: number, version = 1): Task {
  return { id, board: 7, title: `Task ${id}`, column, position, version, comments_count: 0 } as unknown as Task;
}

function board(...tasks: Task[]): BoardDetail {
  return { board: { id: 7, title: 'Board' } as BoardDetail['board'], columns: ['todo', 'doing', 'done'], tasks };
}

const ids = (tasks: Task[]) => tasks.map(({ id }) => id);

describe('order', () => {
  it('is by position, whatever order the tasks arrived in', () => {
    expect(ids(tasksIn([task(1, 'todo', 3), task(2, 'todo', 1), task(3, 'doing', 2)], 'todo'))).toEqual([2, 1]);
  });

  it('falls back to the id when two windows chose the same position', () => {
    expect(ids(tasksIn([task(9, 'todo', 1), task(4, 'todo', 1)], 'todo'))).toEqual([4, 9]);
  });
});

describe('a position', () => {
  it('lies strictly between its neighbours', () => {
    expect(positionBetween(1, 2)).toBe(1.5);
    expect(positionBetween(undefined, 2)).toBeLessThan(2);
    expect(positionBetween(undefined, -2)).toBeLessThan(-2);
    expect(positionBetween(5, undefined)).toBeGreaterThan(5);
    expect(positionBetween(undefined, undefined)).toBe(1024);
  });

  it('ignores the moving task itself when it counts neighbours', () => {
    const tasks = [task(1, 'todo', 1), task(2, 'todo', 2), task(3, 'todo', 3)];
    expect(positionAt(tasks, 1, { column: 'todo', index: 1 })).toBe(2.5);
  });
});

describe('a move', () => {
  const view = board(task(1, 'todo', 1), task(2, 'todo', 2), task(3, 'todo', 3), task(4, 'done', 1));

  it('lands at every place it names, in its own column and in others', () => {
    for (const column of ['todo', 'doing', 'done'] as const) {
      for (let index = 0; index <= tasksIn(view.tasks.filter(({ id }) => id !== 2), column).length; index++) {
        expect(placeOf(moved(view, 2, { column, index }).tasks, 2)).toEqual({ column, index });
      }
    }
  });

  it('leaves the order of all other tasks alone', () => {
    expect(ids(tasksIn(moved(view, 1, { column: 'todo', index: 2 }).tasks, 'todo'))).toEqual([2, 3, 1]);
  });

  it('by key stops at the borders of the board', () => {
    expect(neighbour(view.tasks, 1, 'up')).toBeNull();
    expect(neighbour(view.tasks, 3, 'down')).toBeNull();
    expect(neighbour(view.tasks, 1, 'left')).toBeNull();
    expect(neighbour(view.tasks, 4, 'right')).toBeNull();
  });

  it('by key to the side keeps its height where the other column is tall enough', () => {
    expect(neighbour(view.tasks, 3, 'right')).toEqual({ column: 'doing', index: 0 });
    expect(neighbour(view.tasks, 4, 'left')).toEqual({ column: 'doing', index: 0 });
  });
});

describe('a live event', () => {
  const view = board(task(1, 'todo', 1, 5));

  it('never replaces a newer version of a task by an older one', () => {
    expect(withVersion(view, task(1, 'done', 1, 4))).toBe(view);
    expect(withVersion(view, task(1, 'done', 1, 6)).tasks[0]?.column).toBe('done');
  });

  it('applied twice changes nothing the second time', () => {
    const change = changeOf({ type: 'tasks.task.created', data: task(2, 'todo', 2) });
    const once = applyChange(view, change);
    expect(ids(once.tasks)).toEqual([1, 2]);
    expect(applyChange(once, change)).toEqual(once);
  });

  it('takes away what was deleted and counts what was said', () => {
    expect(applyChange(view, changeOf({ type: 'tasks.task.deleted', data: { id: 1, board: 7 } })).tasks).toEqual([]);
    const commented = applyChange(view, changeOf({ type: 'tasks.comment.created', data: { id: 3, task: 1, text: 'Yes' } }));
    expect(commented.tasks[0]?.comments_count).toBe(1);
  });

  it('that says too little asks for the board again instead of guessing', () => {
    expect(changeOf({ type: 'tasks.task.moved', data: {} }).kind).toBe('unknown');
    expect(changeOf({ type: 'tasks.board.renamed', data: null }).kind).toBe('unknown');
  });
});
