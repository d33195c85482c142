import { expect, test } from 'vitest';
import { bestGrid } from './grid';

test.each([
  ['one on a desktop', 1280, 640, 1, 1],
  ['two on a desktop stand side by side', 1280, 640, 2, 2],
  ['four on a desktop', 1280, 640, 4, 2],
  ['nine on a desktop', 1280, 640, 9, 3],
  ['two on a phone stand upon each other', 351, 560, 2, 1],
  ['six on a phone', 351, 560, 6, 2],
])('%s', (_, width, height, count, columns) => {
  expect(bestGrid(width, height, count, 12).columns).toBe(columns);
});

test('tiles fit, and keep their form', () => {
  for (const [width, height] of [
    [1280, 640],
    [351, 560],
    [800, 200],
    [300, 900],
  ] as const) {
    for (let count = 1; count <= 25; count++) {
      const g = bestGrid(width, height, count, 12);
      const rows = Math.ceil(count / g.columns);
      expect(g.width * g.columns + 12 * (g.columns - 1)).toBeLessThanOrEqual(width);
      expect(g.height * rows + 12 * (rows - 1)).toBeLessThanOrEqual(height);
      expect(g.width / g.height).toBeLessThan(1.85);
      expect(g.width / g.height).toBeGreaterThan(0.7);
    }
  }
});

test('an area without room shows nothing', () => {
  expect(bestGrid(0, 0, 3, 12)).toEqual({ columns: 1, width: 0, height: 0 });
});
