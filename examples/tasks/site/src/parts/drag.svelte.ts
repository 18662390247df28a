// Dragging a card with a mouse or pen. A finger scrolls; there the card's menu moves it.
import type { Task } from '../api.ts';
import type { Place } from '../board.ts';

/** How far the pointer travels before a press is a drag, in pixels. */
const THRESHOLD = 5;

/** One per board. While `place` is set, the board shows the card there. */
export class Drag {
  task: Task | null = $state.raw(null);
  place: Place | null = $state.raw(null);
  #drop: (task: Task, place: Place) => void;
  #ghost: HTMLElement | null = null;

  constructor(drop: (task: Task, place: Place) => void) {
    this.#drop = drop;
  }

  /** Call on pointerdown of a card. Does nothing for a finger or another button. */
  press(event: PointerEvent, task: Task, card: HTMLElement): void {
    if (event.button !== 0 || event.pointerType === 'touch') return;
    const { clientX: startX, clientY: startY } = event;
    const box = card.getBoundingClientRect();
    const stop = new AbortController();
    const { signal } = stop;

    const move = (now: PointerEvent) => {
      const far = Math.hypot(now.clientX - startX, now.clientY - startY) > THRESHOLD;
      if (!this.task && !far) return;
      if (!this.task) this.#lift(task, card, box);
      this.#ghost!.style.transform = `translate(${now.clientX - startX}px, ${now.clientY - startY}px) rotate(1.5deg)`;
      this.place = placeAt(now.clientX, now.clientY, task.id) ?? this.place;
    };
    const end = (commit: boolean) => {
      stop.abort();
      const { place } = this;
      if (!this.task) return;
      this.#lower();
      if (commit) swallowClick();
      if (commit && place) this.#drop(task, place);
    };

    addEventListener('pointermove', move, { signal });
    addEventListener('pointerup', () => end(true), { signal });
    addEventListener('pointercancel', () => end(false), { signal });
    addEventListener('keydown', (key) => key.key === 'Escape' && end(false), { signal });
  }

  #lift(task: Task, card: HTMLElement, box: DOMRect): void {
    this.task = task;
    const ghost = card.cloneNode(true) as HTMLElement;
    ghost.removeAttribute('data-task');
    ghost.setAttribute('aria-hidden', 'true');
    ghost.classList.add('ghost');
    ghost.style.left = `${box.left}px`;
    ghost.style.top = `${box.top}px`;
    ghost.style.width = `${box.width}px`;
    document.body.append(ghost);
    document.body.classList.add('dragging');
    this.#ghost = ghost;
  }

  #lower(): void {
    this.#ghost?.remove();
    this.#ghost = null;
    this.task = null;
    this.place = null;
    document.body.classList.remove('dragging');
  }
}

/** The place under the pointer: the column by its width, the index by the middles of its other cards. */
function placeAt(x: number, y: number, task: Task['id']): Place | null {
  for (const column of document.querySelectorAll<HTMLElement>('[data-column]')) {
    const box = column.getBoundingClientRect();
    if (x < box.left || x > box.right) continue;
    const others = [...column.querySelectorAll<HTMLElement>('[data-task]')].filter((card) => card.dataset['task'] !== String(task));
    const index = others.findIndex((card) => {
      const { top, height } = card.getBoundingClientRect();
      return y < top + height / 2;
    });
    return { column: column.dataset['column'] as Place['column'], index: index < 0 ? others.length : index };
  }
  return null;
}

/** The click that ends a drag would open the card. */
function swallowClick(): void {
  const swallow = (event: MouseEvent) => {
    event.preventDefault();
    event.stopPropagation();
  };
  addEventListener('click', swallow, { capture: true, once: true });
  setTimeout(() => removeEventListener('click', swallow, { capture: true }));
}
