/** The twelve creatures and shells of the sea that avatars are drawn as, and where their faces are. */

import { blob, circle, type Drawing, filled, line, oval } from './shapes';

/** What a creature is painted with, from light to dark. */
export interface Paint {
  readonly light: string;
  readonly body: string;
  readonly dark: string;
}

export interface Creature {
  readonly drawing: Drawing;
  /** Middle of its eyes, and their scale. */
  readonly face: readonly [x: number, y: number, scale: number];
}

type Draw = (paint: Paint) => Creature;

const turns = (count: number): number[] => Array.from({ length: count }, (_, i) => (i * 2 * Math.PI) / count);

/** A rosette of `tips` points around (x, y), going out to `far` and in to `near`. */
function rosette(x: number, y: number, far: number, near: number, tips: number): string {
  return blob(
    turns(2 * tips).map((a, i) => {
      const r = i % 2 ? near : far;
      return [x + r * Math.sin(a), y - r * Math.cos(a)] as const;
    }),
  );
}

const fish: Draw = ({ light, body, dark }) => ({
  drawing: [
    filled(dark, 'M42 33C48 24 56 21 58 24C59.5 27 56 30 55.5 33C56 36 59.5 40 58 43C56 46 48 42 42 33z'),
    filled(dark, 'M22 21C26 12 36 11 40 14C40 17 38 20 36 22z', 'M24 46C27 53 34 54 38 51C37 48 36 46 34 45z'),
    filled(body, oval(28, 33.5, 18.5, 14.5)),
    filled(light, 'M14 40C20 50 36 50 42 40C36 43 22 44 14 40z'),
    filled(dark, 'M38 30C43 31 44 37 40 39C36 38 35 33 38 30z'),
  ],
  face: [22.5, 31, 1],
});

const whale: Draw = ({ light, body, dark }) => ({
  drawing: [
    line(dark, 2.4, 'M27 17V12', 'M27 12C26 8 21 8 20.5 11', 'M27 12C28 8 33 8 33.5 11'),
    filled(dark, 'M51 26C46 25 44 20 45.5 17C49 17 52 20 53 23C54 20 57 17 60 18C61 22 58 26 54 26.5z'),
    filled(body, 'M8 37C8 26 17 18 28 18C38 18 43 25 46 30C48 33 51 31 50.5 25H55C57 38 50 53 31 53C17 53 8 47 8 37z'),
    filled(light, 'M9.5 42C14 47 30 47 37 41C40 44 39 53 31 53C19 53 11 49 9.5 42z'),
    filled(dark, oval(39, 45.5, 3, 5.4, -40)),
  ],
  face: [24, 33, 1],
});

const octopus: Draw = ({ light, body, dark }) => ({
  drawing: [
    line(dark, 6, 'M20 42C20 50 14 53 10 50', 'M44 42C44 50 50 53 54 50'),
    line(body, 6, 'M25 42C25 51 22 55 18 56', 'M39 42C39 51 42 55 46 56', 'M32 42V55'),
    filled(body, 'M13 29C13 17 21 9 32 9C43 9 51 17 51 29C51 39 44 46 32 46C20 46 13 39 13 29z'),
    filled(light, oval(23, 17, 3.4, 2.2, -35), circle(28.5, 13.6, 1.2)),
  ],
  face: [32, 30, 1.1],
});

const jellyfish: Draw = ({ light, body, dark }) => ({
  drawing: [
    line(dark, 2.8, 'M20 39q-3 5 0 9t-1 9', 'M44 39q3 5 0 9t1 9'),
    line(body, 4.4, 'M27.5 39q3 5 0 9t0 8', 'M36.5 39q-3 5 0 9t0 8'),
    filled(body, 'M11 37C10 20 19 9 32 9C45 9 54 20 53 37C53 42 47 42 45.8 39C44 43 38 43 36.5 39.5C35 43 29 43 27.5 39.5C26 43 20 43 18.2 39C17 42 11 42 11 37z'),
    filled(light, oval(22, 17.5, 3.4, 2.2, -40), circle(27, 13.6, 1.2)),
  ],
  face: [32, 28, 1.1],
});

const crab: Draw = ({ light, body, dark }) => ({
  drawing: [
    line(dark, 3.2, 'M17 45L9 50', 'M20 48L14 55', 'M47 45L55 50', 'M44 48L50 55', 'M18 34L11 28', 'M46 34L53 28'),
    filled(dark, 'M10 29C3 27 2 17 8 13C8 17 10 18.5 11 20C12 17 14 15 17 14C20 20 17 29 10 29z', 'M54 29C61 27 62 17 56 13C56 17 54 18.5 53 20C52 17 50 15 47 14C44 20 47 29 54 29z'),
    filled(body, oval(32, 39, 19, 14)),
    filled(light, 'M20 47C26 51 38 51 44 47C41 54 23 54 20 47z'),
  ],
  face: [32, 36, 1.1],
});

const starfish: Draw = ({ light, body }) => ({
  drawing: [
    filled(body, rosette(32, 34, 35, 12.5, 5)),
    filled(light, circle(32, 17, 1.7), circle(32, 12.5, 1.1), circle(15, 30, 1.5), circle(49, 30, 1.5), circle(22, 49, 1.5), circle(42, 49, 1.5)),
  ],
  face: [32, 33, 0.95],
});

const scallop: Draw = ({ light, body, dark }) => ({
  drawing: [
    filled(dark, 'M23 51L21 57H43L41 51z'),
    filled(body, 'M27 55C17 49 8 38 9 28C9 23 13 21 15.5 22C15 16 21 13 24 15.5C25 10 32 9 32 13C32 9 39 10 40 15.5C43 13 49 16 48.5 22C51 21 55 23 55 28C56 38 47 49 37 55z'),
    line(light, 1.8, 'M29 52C23 47 17 37 15.5 28', 'M35 52C41 47 47 37 48.5 28', 'M31 50C28 44 25.5 36 24.5 21', 'M33 50C36 44 38.5 36 39.5 21'),
    filled(body, oval(32, 35, 13, 9)),
  ],
  face: [32, 33.5, 1],
});

const turtle: Draw = ({ light, body, dark }) => ({
  drawing: [
    filled(body, oval(11, 43, 4.6, 9, 48), oval(53, 43, 4.6, 9, -48), oval(20, 55, 4, 5, 30), oval(44, 55, 4, 5, -30)),
    filled(dark, 'M12 46C10 30 19 15 32 15C45 15 54 30 52 46C48 55 16 55 12 46z'),
    filled(light, 'M28 20H36L39 25L36 29H28L25 25z', 'M17 30L22 27L25 31L22 37L15.5 38z', 'M47 30L42 27L39 31L42 37L48.5 38z'),
    filled(body, 'M17.5 43C17.5 35 24 31 32 31C40 31 46.5 35 46.5 43C46.5 50 40 54.5 32 54.5C24 54.5 17.5 50 17.5 43z'),
  ],
  face: [32, 42, 1],
});

const puffer: Draw = ({ light, body, dark }) => ({
  drawing: [
    filled(dark, rosette(32, 33, 30, 18, 14), oval(8.5, 36, 5, 3.4, 25), oval(55.5, 36, 5, 3.4, -25)),
    filled(body, circle(32, 33, 19.5)),
    filled(light, 'M14 40C19 56 45 56 50 40C42 45 22 45 14 40z'),
  ],
  face: [32, 30, 1.15],
});

const nautilus: Draw = ({ light, body, dark }) => ({
  drawing: [
    line(body, 4, 'M14 45C9 46 6 50 8 54', 'M18 48C14 50 13 55 16 58', 'M24 49C22 53 23 57 26 58'),
    filled(dark, 'M22 50C36 58 56 49 56 30C56 17 46 8 34 8C23 8 16 16 16 26z'),
    line(light, 3, 'M36 46C45 44 50 37 49.5 29.5C49 22 43 16.5 36 17C31 17.5 28 21 28.5 25'),
    filled(body, 'M8 37C8 29 14 24 22 24C31 24 37 29 37 38C37 46 31 51 23 51C14 51 8 46 8 37z'),
  ],
  face: [21.5, 36.5, 1],
});

const ray: Draw = ({ light, body, dark }) => ({
  drawing: [
    line(dark, 2.6, 'M32 48C31 54 35 56 38 60'),
    filled(dark, 'M23 17C20 12 21 8 24 7C27 9 28 13 28 17z', 'M41 17C44 12 43 8 40 7C37 9 36 13 36 17z'),
    filled(body, 'M32 13C40 13 43 19 48 24C53 28 60 30 61.5 37C56 36 51 38 46 43C42 47 37 51 32 51C27 51 22 47 18 43C13 38 8 36 2.5 37C4 30 11 28 16 24C21 19 24 13 32 13z'),
    filled(light, oval(14, 32, 2.4, 1.5, -30), oval(50, 32, 2.4, 1.5, 30), circle(19, 36, 1.2), circle(45, 36, 1.2)),
  ],
  face: [32, 28, 1.05],
});

const squid: Draw = ({ light, body, dark }) => ({
  drawing: [
    filled(dark, 'M32 6C41 10 49 17 51 26C45 29 38 26 32 22C26 26 19 29 13 26C15 17 23 10 32 6z'),
    line(dark, 3.6, 'M21 46C20 52 15 53 13 50', 'M43 46C44 52 49 53 51 50'),
    line(body, 4.2, 'M26 46C26 53 24 57 21 58', 'M38 46C38 53 40 57 43 58', 'M32 46V58'),
    filled(body, 'M32 6C41 15 47 28 47 37C47 45 41 49 32 49C23 49 17 45 17 37C17 28 23 15 32 6z'),
    filled(light, oval(29, 18, 1.8, 3.6, 25), circle(26, 24, 1.2)),
  ],
  face: [32, 36, 1],
});

const CREATURES: readonly Draw[] = [
  fish, whale, octopus, jellyfish, crab, starfish, scallop, turtle, puffer, nautilus, ray, squid,
];

export const SHAPES = CREATURES.length;

export function creature(shape: number, paint: Paint): Creature {
  return (CREATURES[shape % SHAPES] ?? fish)(paint);
}
