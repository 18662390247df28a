// The arithmetic of a board: order, positions, moves, and what a live event does to it. Pure, and tested as such.
import type { BoardDetail, Column, Task, TerraceEvent } from './api.ts';

export const COLUMNS: readonly { id: Column; title: string }[] = [
  { id: 'todo', title: 'To do' },
  { id: 'doing', title: 'Doing' },
  { id: 'done', title: 'Done' },
];

/** The title of a column. */
export function columnTitle(column: string): string {
  return COLUMNS.find(({ id }) => id === column)?.title ?? column;
}

/** A place on the board: the index counts the other tasks of the column, from 0. */
export interface Place {
  column: Column;
  index: number;
}

/** The tasks of one column in order. Equal positions fall back to the id, so every window shows the same order. */
export function tasksIn(tasks: readonly Task[], column: string): Task[] {
  return tasks.filter((task) => task.column === column).sort(byPlace);
}

function byPlace(a: Task, b: Task): number {
  return a.position - b.position || (a.id < b.id ? -1 : 1);
}

/** What the service leaves between a column's last task and a new one. */
const ROOM = 1024;

/** A position between two neighbours; either may be missing. */
export function positionBetween(before: number | undefined, after: number | undefined): number {
  if (before !== undefined && after !== undefined) return before + (after - before) / 2;
  if (before !== undefined) return before + ROOM;
  if (after !== undefined) return after - ROOM;
  return ROOM;
}

/** The position that puts `task` at `place`. */
export function positionAt(tasks: readonly Task[], task: Task['id'], { column, index }: Place): number {
  const others = tasksIn(tasks, column).filter(({ id }) => id !== task);
  return positionBetween(others[index - 1]?.position, others[index]?.position);
}

/** Where a task is, or null when the board does not have it. */
export function placeOf(tasks: readonly Task[], task: Task['id']): Place | null {
  const found = tasks.find(({ id }) => id === task);
  if (!found) return null;
  const column = found.column as Column;
  return { column, index: tasksIn(tasks, column).findIndex(({ id }) => id === task) };
}

/** Where one step in a direction leads, or null at the board's border. Sideways keeps the height where it can. */
export function neighbour(tasks: readonly Task[], task: Task['id'], step: 'up' | 'down' | 'left' | 'right'): Place | null {
  const place = placeOf(tasks, task);
  if (!place) return null;
  if (step === 'up') return place.index > 0 ? { ...place, index: place.index - 1 } : null;
  if (step === 'down') {
    return place.index < tasksIn(tasks, place.column).length - 1 ? { ...place, index: place.index + 1 } : null;
  }
  const at = COLUMNS.findIndex(({ id }) => id === place.column);
  const target = COLUMNS[at + (step === 'left' ? -1 : 1)];
  return target ? { column: target.id, index: Math.min(place.index, tasksIn(tasks, target.id).length) } : null;
}

/** The board with `task` at `place`, as it will look once the server agrees. */
export function moved(view: BoardDetail, task: Task['id'], place: Place): BoardDetail {
  const position = positionAt(view.tasks, task, place);
  return withTask(view, task, (found) => ({ ...found, column: place.column, position }));
}

/** The board with one task changed. */
export function withTask(view: BoardDetail, task: Task['id'], change: (task: Task) => Task): BoardDetail {
  return { ...view, tasks: view.tasks.map((found) => (found.id === task ? change(found) : found)) };
}

/** The board with this version of a task, unless it already has a newer one. */
export function withVersion(view: BoardDetail, task: Task): BoardDetail {
  const found = view.tasks.find(({ id }) => id === task.id);
  if (!found) return { ...view, tasks: [...view.tasks, task] };
  if (found.version > task.version) return view;
  return withTask(view, task.id, () => task);
}

/** What a live event says about a board. `unknown` means that only the server can tell: ask again. */
export type Change =
  | { kind: 'task'; task: Task }
  | { kind: 'deleted'; task: Task['id'] }
  | { kind: 'commented'; task: Task['id'] }
  | { kind: 'unknown' };

/** Reads an event of a board's topic. The contract types no event data yet, so what is missing is not guessed. */
export function changeOf({ type, data }: Pick<TerraceEvent, 'type' | 'data'>): Change {
  if (!isRecord(data)) return { kind: 'unknown' };
  if (type === 'tasks.task.deleted' && typeof data['id'] === 'number') return { kind: 'deleted', task: data['id'] };
  if (type === 'tasks.comment.created' && typeof data['task'] === 'number') return { kind: 'commented', task: data['task'] };
  return isTask(data) ? { kind: 'task', task: data } : { kind: 'unknown' };
}

/** The board after a change. */
export function applyChange(view: BoardDetail, change: Change): BoardDetail {
  switch (change.kind) {
    case 'task':
      return withVersion(view, change.task);
    case 'deleted':
      return { ...view, tasks: view.tasks.filter(({ id }) => id !== change.task) };
    case 'commented':
      return withTask(view, change.task, (task) => ({ ...task, comments_count: task.comments_count + 1 }));
    case 'unknown':
      return view;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isTask(value: object): value is Task {
  return ['id', 'title', 'column', 'position', 'version'].every((field) => field in value);
}
