import { expect, test } from 'vitest';
import { clock, seconds, timeOfDay } from './time';

test.each([
  [0, '00:00:00'],
  [999, '00:00:00'],
  [61_000, '00:01:01'],
  [3_599_999, '00:59:59'],
  [3_600_000, '01:00:00'],
  [100 * 3_600_000, '100:00:00'],
  [-5_000, '00:00:00'],
])('clock(%d) is %s', (ms, shown) => {
  expect(clock(ms)).toBe(shown);
});

test.each([
  [0, '0.0 s'],
  [2.34, '2.3 s'],
  [12, '12.0 s'],
  [-0.2, '0.0 s'],
])('seconds(%d) is %s', (s, shown) => {
  expect(seconds(s)).toBe(shown);
});

test('timeOfDay is hh:mm:ss', () => {
  expect(timeOfDay(new Date(2026, 0, 2, 3, 4, 5))).toBe('03:04:05');
});
