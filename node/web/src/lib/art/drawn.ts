/**
 * Avatars drawn from four indices of 0–255, so that a picture travels as four bytes.
 *
 *     [shape, colour, pattern, mood]  →  water of the pattern, the creature in its colour, its face
 *
 * An index above what there is to choose from begins again at the first. What an
 * index means is for good, since other versions draw the same four bytes.
 */

import { creature, type Paint, SHAPES } from './creatures';
import { face, MOODS } from './faces';
import type { Drawing } from './shapes';
import { PATTERNS, water } from './waters';

export type Indices = readonly [shape: number, color: number, pattern: number, mood: number];

// Hues in degrees, none of them momo's pink.
const HUES = [8, 26, 44, 72, 118, 152, 174, 192, 210, 232, 262, 292] as const;

/** How many there are of each, in the order of the indices. */
export const CHOICES: Indices = [SHAPES, HUES.length, PATTERNS, MOODS];

function colors(color: number): Paint & { ground: string; tone: string } {
  const hue = HUES[color % HUES.length] ?? 0;
  const around = (hue + (hue < 180 ? 25 : -25) + 360) % 360;
  const green = hue > 40 && hue < 185; // these glare where others are lively
  return {
    light: `hsl(${hue} 85% 88%)`,
    body: `hsl(${hue} ${green ? 48 : 66}% ${green ? 62 : 66}%)`,
    dark: `hsl(${hue} ${green ? 40 : 48}% ${green ? 45 : 50}%)`,
    ground: `hsl(${around} 62% 91%)`,
    tone: `hsl(${around} 58% 84%)`,
  };
}

export function drawn([shape, color, pattern, mood]: Indices): Drawing {
  const paint = colors(color);
  const { drawing, face: place } = creature(shape, paint);
  return [...water(pattern, paint.ground, paint.tone), ...drawing, ...face(mood, ...place)];
}
