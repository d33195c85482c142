import { expect, test } from 'vitest';
import { behindLive } from './latency';

const now = 1_800_000_000_000;

test.each([
  ['the wall clock, when it is there', now - 2300, 1.9, 2.3],
  ['the edge, without a wall clock', undefined, 1.9, 1.9],
  ['the edge, with a date that is none', NaN, 1.9, 1.9],
  ['the edge, when the viewer’s clock is behind', now + 4000, 1.9, 1.9],
  ['the edge, when the viewer’s clock is ahead', now - 65_000, 1.9, 1.9],
])('%s', (_, playing, edge, want) => {
  expect(behindLive({ now, playing, edge })).toBeCloseTo(want);
});
