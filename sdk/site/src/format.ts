// Numbers, sizes and times as people read them. Pure; `now` is a parameter.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

/** `12,480` */
export function count(value: number): string {
  return whole.format(value);
}

/** `4.2`; one decimal always, so that a column lines up. */
export function decimal(value: number): string {
  return tenth.format(value);
}

/** Milliseconds with a unit, one decimal so that a column lines up: `0.8 ms`, `12.4 ms`, `1.20 s`. */
export function latency(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms.toFixed(1)} ms`;
}

/** A share in percent: `0 %`, `0.42 %`, `12 %`. Zero requests are no errors. */
export function share(part: number, whole: number): string {
  if (whole === 0 || part === 0) return '0 %';
  const percent = (part / whole) * 100;
  return `${percent < 1 ? percent.toFixed(2) : percent < 10 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}

/** Bytes in decimal units: `487 kB`, `1.2 MB`. */
export function bytes(size: number): string {
  if (size < 1000) return `${size} B`;
  if (size < 1_000_000) return `${Math.round(size / 1000)} kB`;
  return `${(size / 1_000_000).toFixed(1)} MB`;
}

/** `just now`, `5 minutes ago`, `yesterday`, and the date beyond a month. */
export function ago(time: string, now: number = Date.now()): string {
  const seconds = Math.round((Date.parse(time) - now) / 1000);
  if (Number.isNaN(seconds)) return '';
  const past = Math.abs(seconds);
  if (past < 45) return 'just now';
  if (past < 45 * 60) return relative.format(Math.round(seconds / 60), 'minute');
  if (past < 22 * 3600) return relative.format(Math.round(seconds / 3600), 'hour');
  if (past < 26 * 86_400) return relative.format(Math.round(seconds / 86_400), 'day');
  return new Date(time).toLocaleDateString('en', { day: 'numeric', month: 'short', year: 'numeric' });
}

/** The clock time of a moment, to the second. */
export function clock(time: string): string {
  return new Date(time).toLocaleTimeString('en-GB');
}

/** Up to two initials: `Ada Lovelace` is `AL`. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const last = words.length > 1 ? words.at(-1) : undefined;
  return `${words[0]?.[0] ?? '?'}${last?.[0] ?? ''}`.toUpperCase();
}
