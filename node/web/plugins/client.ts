// Svelte's runtime without what this page never asks of it: elements drawn by a server, which it
// would take over, components of older kinds, states that are changed in their inside (all of the
// page's are raw), boundaries of errors and expressions that wait. Its own switches for these are
// variables, which no tool can see through; here they are constants, and all that hangs on them
// falls away. A Svelte whose sources read otherwise stops the build.

import type { Plugin } from 'vite';

/** The root of all components without what other boundaries do: errors go on to the window. */
const ROOT = `import { EFFECT_PRESERVED, EFFECT_TRANSPARENT } from '#client/constants';
import { block, branch } from '../../reactivity/effects.js';
export class Boundary {}
export const pending = () => 0;
export function boundary(node, props, children) {
  block(() => void branch(() => children(node)), EFFECT_TRANSPARENT | EFFECT_PRESERVED);
}`;

/** What is replaced, by the ends of the files' addresses. */
const CHANGES: [file: string, changes: [RegExp, string][]][] = [
  ['dom/hydration.js', [[/export let hydrating/, 'export const hydrating'], [/hydrating = value;/, '']]],
  ['internal/flags/index.js', [[/export let/g, 'export const'], [/^\t\w+ = (true|false);$/gm, '']]],
  ['blocks/boundary.js', [[/^[^]*export function boundary[^]*$/, ROOT]]],
  ['reactivity/async.js', [[/async\.length === 0 && pending\.length === 0/, 'true']]],
  ['client/proxy.js', [[/export function proxy\(value\) \{/, '$& return value;']]],
];

/** The calls that only go along elements drawn by a server. */
const ALONG = /^\s*\$\.(reset|next)\(.*\);$/gm;

/** What old kinds of components are told about their contents. */
const SLOTS = /,\s*\$\$slots: \{[^}]*\}/g;

/** How a part of the page is fetched: when the node ended meanwhile, the page begins again. */
const FETCH = `export const __vitePreload = (fetched) => fetched().catch(() => {
  setTimeout(() => location.reload(), 1000);
  return new Promise(() => undefined);
});`;

export function client(): Plugin[] {
  return [
    {
      name: 'shoal-client',
      apply: 'build',
      enforce: 'pre',
      load: (id) => (id === '\0vite/preload-helper.js' ? FETCH : null),
      transform(code, id) {
        const found = CHANGES.find(([file]) => id.includes('/svelte/src/') && id.endsWith(file));
        if (!found) return null;
        let out = code;
        for (const [from, to] of found[1]) {
          if (out.search(from) < 0) this.error(`another Svelte than this build knows: ${id}`);
          out = out.replace(from, to);
        }
        return { code: out, map: null };
      },
    },
    {
      name: 'shoal-client-along',
      apply: 'build',
      enforce: 'post',
      transform(code, id) {
        return id.endsWith('.svelte') ? { code: code.replace(ALONG, '').replace(SLOTS, ''), map: null } : null;
      },
    },
  ];
}
