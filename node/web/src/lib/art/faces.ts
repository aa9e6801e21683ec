/** The six moods: eyes and a mouth around (x, y), for a creature whose eyes stand 13 units apart. */

import { circle, type Drawing, filled, line, oval, placed } from './shapes';

const INK = '#33243f';
const BLUSH = '#f2849e';
const EYE = 6.5; // units from the middle

const open = (x: number): Drawing => [
  filled(INK, oval(x, 0, 2.1, 2.6)),
  filled('#fff', circle(x + 0.8, -1, 0.8)),
];
const bow = (x: number, up: number) => `M${x - 2.4} ${up / 2}q2.4 ${-up} 4.8 0`;
const smile = line(INK, 1.3, 'M-3 4.4q3 3.2 6 0');
const cheeks = filled(BLUSH, oval(-10, 4.2, 2.1, 1.4), oval(10, 4.2, 2.1, 1.4));

const FACES: readonly Drawing[] = [
  [...open(-EYE), ...open(EYE), smile], // glad
  [line(INK, 1.3, bow(-EYE, -3), bow(EYE, -3), 'M-2 5q2 1.6 4 0')], // dreaming
  [...open(-EYE), ...open(EYE), filled(INK, oval(0, 6, 1.8, 2.3))], // amazed
  [...open(-EYE), line(INK, 1.3, bow(EYE, 3.6)), smile], // winking
  [line(INK, 1.4, bow(-EYE, 4.4), bow(EYE, 4.4)), filled(INK, 'M-3.6 3.8h7.2a3.6 4 0 0 1 -7.2 0z')], // laughing
  [...open(-EYE), ...open(EYE), cheeks, line(INK, 1.2, 'M-3.2 4.8q1.6 2 3.2 0q1.6 2 3.2 0')], // shy
];

export const MOODS = FACES.length;

export function face(mood: number, x: number, y: number, scale = 1): Drawing {
  return placed(FACES[mood % MOODS] ?? [], x, y, scale);
}
