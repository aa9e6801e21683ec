/** The eight patterns of the water behind a creature; all of them stay within the avatar's disc. */

import { circle, type Drawing, filled, line, type Part } from './shapes';

const R = 32;

/** Half the disc's width at height y. */
const reach = (y: number): number => Math.sqrt(R * R - (y - R) ** 2);
const at = (degrees: number, radius: number): string => {
  const a = (degrees * Math.PI) / 180;
  return `${(R + radius * Math.cos(a)).toFixed(2)} ${(R + radius * Math.sin(a)).toFixed(2)}`;
};

/** All of the disc between two heights. */
function band(top: number, bottom: number): string {
  const [a, b] = [reach(top), reach(bottom)];
  const arc = `A${R} ${R} 0 0 1 `;
  return `M${R - a} ${top}H${R + a}${arc}${R + b} ${bottom}H${R - b}${arc}${R - a} ${top}z`;
}

/** The disc below a line of waves that begins at height y. */
function swell(y: number, waves: number): string {
  const [x, step] = [R - reach(y), reach(y) / waves];
  const crests = `q${step / 2} -3.4 ${step} 0t${step} 0`.repeat(waves);
  return `M${x} ${y}${crests}A${R} ${R} 0 ${y < R ? 1 : 0} 1 ${x} ${y}z`;
}

const WATERS: readonly ((tone: string) => readonly Part[])[] = [
  () => [],
  (tone) => [
    filled(
      tone,
      ...[[12, 17, 4.4], [52, 20, 3.4], [9, 42, 3], [55, 44, 4.4], [24, 7, 2.4], [43, 8, 3.4], [17, 55, 2.2], [46, 56, 2.4]].map(
        ([x = 0, y = 0, r = 0]) => circle(x, y, r),
      ),
    ),
  ],
  (tone) => [filled(tone, swell(40, 3))],
  (tone) => [28.5, 21, 13.5].map((r) => line(tone, 3.2, circle(R, R, r))),
  (tone) => [
    filled(tone, ...[0, 60, 120, 180, 240, 300].map((a) => `M32 32L${at(a, R)}A32 32 0 0 1 ${at(a + 30, R)}z`)),
  ],
  (tone) => [filled(tone, band(6, 13), band(21, 28), band(36, 43), band(51, 58))],
  (tone) => [
    filled(tone, band(52, 63.9)),
    line(tone, 3.4, 'M10 53q-4 -7 0 -13t0 -13', 'M54 53q4 -7 0 -13t0 -13', 'M17 54q3 -5 0 -9', 'M47 54q-3 -5 0 -9'),
  ],
  (tone) => [
    line(tone, 3, ...[[14, 14], [50, 14], [7, 33], [57, 33], [14, 51], [50, 51], [32, 6], [32, 58]].map(([x = 0, y = 0]) => `M${x - 2.6} ${y}h5.2M${x} ${y - 2.6}v5.2`)),
  ],
];

export const PATTERNS = WATERS.length;

export function water(pattern: number, ground: string, tone: string): Drawing {
  return [filled(ground, circle(R, R, R)), ...(WATERS[pattern % PATTERNS]?.(tone) ?? [])];
}
