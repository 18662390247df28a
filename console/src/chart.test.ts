// The laws of the charts.
import { expect, it } from 'vitest';
import { area, bars, line, niceMax } from './chart.ts';

it('the scale is above every value and a round number', () => {
  expect(niceMax([])).toBe(1);
  expect(niceMax([0.2])).toBe(1);
  expect(niceMax([3])).toBe(5);
  expect(niceMax([51, 12])).toBe(100);
  expect(niceMax([200])).toBe(200);
});

it('the first value is at the left, the last at the right, and zero on the ground', () => {
  expect(line([0, 10], 10, 100, 40)).toBe('M0 40L100 0');
  expect(area([0, 10], 10, 100, 40)).toBe('M0 40L100 0L100 40L0 40Z');
});

it('a single error among many requests is seen', () => {
  expect(bars([0, 1, 0], 1000, 100, 40, 6)).toBe('M50 40V34');
  expect(bars([0, 500, 0], 1000, 100, 40, 6)).toBe('M50 40V20');
});

it('no values draw nothing', () => {
  expect(line([], 1, 100, 40)).toBe('');
  expect(area([], 1, 100, 40)).toBe('');
});
