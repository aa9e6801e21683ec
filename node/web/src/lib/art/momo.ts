/** Momo: the small pink baby sea dragon that everybody is who has not chosen to be somebody else. */

import { circle, type Drawing, filled, line, oval, placed } from './shapes';

const PINK = '#f8a3bd';
const ROSE = '#e8799f';
const DEEP = '#d65f8b';
const CREAM = '#ffe4e6';
const INK = '#4b2239';
const WATER = '#c9ecec';
const BUBBLE = '#e6f8f7';

const head: Drawing = [
  filled(
    ROSE,
    // gills: a fan of three fingers on either side
    'M14 30C8 33 2 32 1.5 29C1.3 27 4 26.3 6 26.5C2 25.5 -.5 22 .8 19.5C2 17.5 5 18.8 6.8 20.2C4.5 17 4.5 12.5 7 11.7C10 11 14 15.5 15.5 20z',
    'M48 30C54 33 60 32 60.5 29C60.7 27 58 26.3 56 26.5C60 25.5 62.5 22 61.2 19.5C60 17.5 57 18.8 55.2 20.2C57.5 17 57.5 12.5 55 11.7C52 11 48 15.5 46.5 20z',
  ),
  filled(
    DEEP,
    // the crest: three small plates
    'M19.5 14C18 9.5 19 6 21.2 5.3C24 6 26.5 9 27 12.5z',
    'M26 12C25.5 6.5 28.2 2.3 31 1.8C33.8 2.3 36.5 6.5 36 12z',
    'M42.5 14C44 9.5 43 6 40.8 5.3C38 6 35.5 9 35 12.5z',
  ),
  filled(PINK, 'M9.5 26.5C9.5 15.5 18.5 9 31 9C43.5 9 52.5 15.5 52.5 26.5C52.5 36 43.5 41 31 41C18.5 41 9.5 36 9.5 26.5z'),
  filled(ROSE, oval(16, 31.5, 3.4, 2.2), oval(46, 31.5, 3.4, 2.2)),
  filled(INK, oval(21, 25.5, 3, 3.7), oval(41, 25.5, 3, 3.7)),
  filled('#fff', circle(22.1, 24, 1.15), circle(42.1, 24, 1.15)),
  filled('#fff', 'M33 32.8L34.3 35.4L35.6 32.4z'),
  line(INK, 1.3, 'M26 31.5C27.5 33.8 34.5 33.8 36 31.5'),
];

/** Its portrait in a disc of water: the head fills it, so that it is known at 24 pixels. */
export const MOMO: Drawing = [
  filled(WATER, circle(32, 32, 32)),
  filled(BUBBLE, circle(9.5, 43, 2.6), circle(54.5, 47, 2), circle(14, 50, 1.6), circle(50, 11, 1.8)),
  filled(PINK, 'M14 58.46C15.5 48 22 43 32 43C42 43 48.5 48 50 58.46A32 32 0 0 1 14 58.46z'),
  filled(CREAM, oval(32, 57, 9, 6.9)),
  filled(ROSE, oval(19.6, 54.5, 2.7, 4.6, 24), oval(44.4, 54.5, 2.7, 4.6, -24)),
  ...placed(head, 4.1, 7.6, 0.9),
];
