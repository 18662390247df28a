// Cards that changed place glide there, across columns too: what moved is what is seen moving.
import { motion } from '@terrace/site';

/** Where every card of a board is now, by task. */
export function measure(board: HTMLElement): Map<string, DOMRect> {
  const boxes = new Map<string, DOMRect>();
  for (const card of board.querySelectorAll<HTMLElement>('[data-task]')) {
    boxes.set(card.dataset['task'] ?? '', card.getBoundingClientRect());
  }
  return boxes;
}

/** Lets every card glide from where it was, and a new one fade in. */
export function glide(board: HTMLElement, before: Map<string, DOMRect>): void {
  const duration = motion(200);
  if (duration === 0 || before.size === 0) return;
  for (const card of board.querySelectorAll<HTMLElement>('[data-task]')) {
    const old = before.get(card.dataset['task'] ?? '');
    const now = card.getBoundingClientRect();
    const options = { duration, easing: 'cubic-bezier(0.2, 0, 0, 1)' };
    if (!old) {
      card.animate([{ opacity: 0, transform: 'scale(0.97)' }, {}], options);
    } else if (Math.abs(old.x - now.x) > 1 || Math.abs(old.y - now.y) > 1) {
      // Across columns a card passes over the others; within its own it slides among them.
      const zIndex = Math.abs(old.x - now.x) > 1 ? 2 : 1;
      card.animate([{ transform: `translate(${old.x - now.x}px, ${old.y - now.y}px)`, zIndex }, { transform: 'none', zIndex }], options);
    }
  }
}
