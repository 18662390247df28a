// The geometry of the small charts. Pure: values in, SVG path data out, in a box of `width` by `height`.

/** The top of a chart's scale: the next of 1, 2, 5, 10, 20, ... above the largest value, so that it rarely jumps. */
export function niceMax(values: readonly number[]): number {
  const largest = Math.max(1, ...values);
  const decade = 10 ** Math.floor(Math.log10(largest));
  return decade * ([1, 2, 5].find((step) => step * decade >= largest) ?? 10);
}

/** A line through the values, left to right. */
export function line(values: readonly number[], max: number, width: number, height: number): string {
  if (values.length === 0) return '';
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  return values.map((value, index) => `${index === 0 ? 'M' : 'L'}${round(index * step)} ${round(height - (value / max) * height)}`).join('');
}

/** The surface under that line. */
export function area(values: readonly number[], max: number, width: number, height: number): string {
  const top = line(values, max, width, height);
  return top && `${top}L${round(values.length > 1 ? width : 0)} ${height}L0 ${height}Z`;
}

/** A bar from the ground for every value above zero, by its place; never lower than `least`, so that one is seen. */
export function bars(values: readonly number[], max: number, width: number, height: number, least: number): string {
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  return values
    .map((value, index) => (value > 0 ? `M${round(index * step)} ${height}V${round(height - Math.max((value / max) * height, least))}` : ''))
    .join('');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
