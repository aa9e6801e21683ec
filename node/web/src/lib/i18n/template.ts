// Elements with places for texts and icons, as the build leaves them (plugins/words.ts): filled in
// the reader's language at the first use, once for all that are made of them.

import { from_html } from 'svelte/internal/client';
import { shapes } from '../ui/shapes';
import { w } from './index.svelte';
import { FIRST, ICONS } from './places';

const HELD = /[\ue000-\uefff]/g;
const DRAWN = /<i data-size="(\d+)"[^>]*>([\uf000-\uf8ff])<\/i>/g;

const safe = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');

const paths = Object.values(shapes);

export function template(html: string, flags?: number): () => Node {
  let filled: unknown;
  let make: () => Node;
  return () => {
    if (filled !== w) {
      filled = w;
      const texts = w as unknown as string[];
      make = from_html(
        html
          .replace(HELD, (letter) => safe(texts[letter.charCodeAt(0) - FIRST] ?? ''))
          .replace(
            DRAWN,
            (_, size: string, letter: string) =>
              `<svg class="icon" width="${size}" height="${size}" viewBox="0 0 24 24" aria-hidden="true">` +
              `<path d="${paths[letter.charCodeAt(0) - ICONS]}"/></svg>`,
          ),
        flags,
      );
    }
    return make();
  };
}
