import { expect, test } from 'vitest';
import { CHOICES, drawn, type Indices } from '../src/lib/art/drawn';
import { MOMO } from '../src/lib/art/momo';
import { type Drawing, svg } from '../src/lib/art/shapes';

const sound = (drawing: Drawing) => {
  const text = svg(drawing);
  expect(drawing.length).toBeGreaterThan(2);
  expect(text).not.toMatch(/NaN|undefined|style=|id=|href|Infinity/);
};

test('momo is drawn', () => {
  sound(MOMO);
});

test('every choice of every index is drawn, and no two alike', () => {
  const seen = new Set<string>();
  CHOICES.forEach((count, place) => {
    for (let choice = 0; choice < count; choice++) {
      const indices = [1, 1, 1, 1].map((usual, i) => (i === place ? choice : usual));
      const drawing = drawn(indices as unknown as Indices);
      sound(drawing);
      seen.add(svg(drawing));
    }
  });
  expect(seen.size).toBe(CHOICES.reduce((sum, count) => sum + count - 1, 1));
});

test('an index beyond the tables begins again at the first', () => {
  for (let index = 0; index < 256; index++) sound(drawn([index, 255 - index, index, index]));
  expect(drawn([CHOICES[0], CHOICES[1], CHOICES[2], CHOICES[3]])).toEqual(drawn([0, 0, 0, 0]));
});
