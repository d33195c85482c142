import { describe, expect, test } from 'vitest';
import { attendeeName, hue, initials } from './names';

describe('attendeeName', () => {
  test.each([
    ['0a1b2c3d#Ada Lovelace', 'Ada Lovelace'],
    ['0a1b2c3d# Ada ', 'Ada'],
    ['0a1b2c3d#C# minor', 'C# minor'],
    ['0a1b2c3d#', 'Guest 0a1b'],
    ['0a1b2c3d#   ', 'Guest 0a1b'],
    ['#', 'Guest'],
    ['', 'Guest'],
    [undefined, 'Guest'],
    ['plain-id', 'plain-id'],
  ])('%j is %j', (id, name) => {
    expect(attendeeName(id)).toBe(name);
  });
});

describe('initials', () => {
  test.each([
    ['Ada Lovelace', 'AL'],
    ['ada', 'A'],
    ['Jan van der Meer', 'JM'],
    ['  ', '?'],
    ['Übermut', 'Ü'],
    ['🔔 Bell', '🔔B'],
    ['Guest 0a1b', 'G0'],
  ])('%j is %j', (name, letters) => {
    expect(initials(name)).toBe(letters);
  });
});

test('hue is steady and on the wheel', () => {
  for (const id of ['', 'a', '6b0b51a5-7a34-41d5-86ac-f0ed5f1a55e2']) {
    expect(hue(id)).toBe(hue(id));
    expect(hue(id)).toBeGreaterThanOrEqual(0);
    expect(hue(id)).toBeLessThan(360);
  }
  expect(hue('a')).not.toBe(hue('b'));
});
