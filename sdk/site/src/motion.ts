// How long something may move: not at all for readers who asked for less motion.

const reduced = matchMedia('(prefers-reduced-motion: reduce)');

/** The duration to use, in milliseconds. */
export function motion(ms: number): number {
  return reduced.matches ? 0 : ms;
}
