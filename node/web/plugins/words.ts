// The page's texts, made small for the build; while one develops, and in the unit tests, every text
// keeps its name.
//
//   en.ts, zh.ts        { chat_new: 'New', … }   ──>  ['New', …]   the same places in each language
//   scripts             w.chat_new, t('key', …)  ──>  w[12], t(12, …)
//   keys.ts             the places of those few texts whose names are put together at run time
//   elements            <b>{w.chat_new}</b>      ──>  <b>□</b>     □: one letter of a private area
//   icons               <Icon name="plus" />     ──>  <i>□</i>     likewise
//   compiled elements   from_html('<b>□</b>')    ──>  template('<b>□</b>'), which fills the place once
//
// An element's fixed texts thus need no code at all. Whoever changes the language sees the page
// drawn anew (App.svelte), so that no filled place can be in the wrong one.

import { parse, type AST } from 'svelte/compiler';
import type { Plugin } from 'vite';
import { names as enNames, words as en } from '../src/lib/i18n/en';
import { FIRST, ICONS, MADE } from '../src/lib/i18n/places';
import { names as zhNames, words as zh } from '../src/lib/i18n/zh';
import { shapes } from '../src/lib/ui/shapes';

const keys = Object.keys(en) as (keyof typeof en)[];
const place = new Map<string, number>(keys.map((key, at) => [key, at]));

const HELD = /\$\.from_html\(`[^`]*`/g;
const LOST = /[\ue000-\uf8ff]/;

/** The name of a text that stands alone between braces: `{w.chat_new}`. */
function wordOf(node: AST.ExpressionTag): string | null {
  const found = node.expression;
  if (found.type !== 'MemberExpression' || found.computed) return null;
  if (found.object.type !== 'Identifier' || found.object.name !== 'w') return null;
  return found.property.type === 'Identifier' ? found.property.name : null;
}

/** Expressions with nothing but text between them: they become one piece of text. */
function runs(nodes: AST.Fragment['nodes']): AST.ExpressionTag[][] {
  const found: AST.ExpressionTag[][] = [[]];
  for (const node of nodes)
    if (node.type === 'ExpressionTag') found.at(-1)?.push(node);
    else if (node.type !== 'Text' && node.type !== 'Comment') found.push([]);
  return found;
}

/** A component's source whose elements hold places instead of `{w.key}`. */
export function withPlaces(source: string): string {
  const changes: [from: number, to: number, text: string][] = [];
  const put = (node: AST.ExpressionTag, quote: string): void => {
    const at = place.get(wordOf(node) ?? '');
    if (at !== undefined) changes.push([node.start, node.end, quote + String.fromCharCode(FIRST + at) + quote]);
  };
  const draw = (icon: AST.Component): void => {
    const given: Record<string, string> = { size: '22' };
    for (const attribute of icon.attributes) {
      const at = attribute.type === 'Attribute' ? attribute : null;
      const value = at && at.value !== true ? [at.value].flat()[0] : null;
      if (value?.type === 'Text') given[at!.name] = value.data;
      else if (value?.expression.type === 'Literal') given[at!.name] = String(value.expression.value);
      else return;
    }
    const number = Object.keys(shapes).indexOf(given['name'] ?? '');
    if (number < 0) throw new Error(`no icon ${given['name']}`);
    const letter = String.fromCharCode(ICONS + number);
    changes.push([icon.start, icon.end, `<i data-size="${given['size']}">${letter}</i>`]);
  };
  const walk = (node: unknown): void => {
    if (Array.isArray(node)) node.forEach(walk);
    if (typeof node !== 'object' || node === null || !('type' in node)) return;
    const { type } = node as { type: string };
    if (type === 'TitleElement') return;
    if (type === 'Fragment')
      for (const run of runs((node as AST.Fragment).nodes))
        if (run.every((one) => place.has(wordOf(one) ?? ''))) run.forEach((one) => put(one, ''));
    if (type === 'RegularElement')
      for (const attribute of (node as AST.RegularElement).attributes)
        if (attribute.type === 'Attribute' && attribute.value !== true && !Array.isArray(attribute.value))
          put(attribute.value, '"');
    if (type === 'Component' && (node as AST.Component).name === 'Icon') draw(node as AST.Component);
    for (const child of Object.values(node)) if (typeof child === 'object') walk(child);
  };
  walk(parse(source, { modern: true }).fragment);
  let out = source;
  for (const [from, to, text] of changes.sort((a, b) => b[0] - a[0]))
    out = out.slice(0, from) + text + out.slice(to);
  return out;
}

/** A script in which texts are asked for by their places. */
export function byPlace(script: string): string {
  return script
    .replace(/\bw\.(\w+)/g, (whole, key: string) => (place.has(key) ? `w[${place.get(key)}]` : whole))
    .replace(/\bget (\w+)\(\) \{\s*return (w\[\d+\]);\s*\}/g, '$1: $2')
    .replace(/\bt\((['"`])(\w+)\1/g, (whole, _, key: string) =>
      place.has(key) ? `t(${place.get(key)}` : whole,
    );
}

/** A language's script: its texts in the order of their places, and what names are drawn from. */
function language(texts: Record<string, unknown>, names: Record<string, string[]>): string {
  const lists = Object.entries(names).map(([key, list]) => `${key}: ${JSON.stringify(list.join(' '))}.split(' ')`);
  return `export const words = ${JSON.stringify(keys.map((key) => texts[key]))}, names = { ${lists.join()} }`;
}

/** The sources that the build makes itself, by the ends of their addresses. */
const made: [end: string, script: () => string][] = [
  ['src/lib/i18n/en.ts', () => language(en, enNames)],
  ['src/lib/i18n/zh.ts', () => language(zh, zhNames)],
  [
    'src/lib/i18n/keys.ts',
    () => {
      const found = keys.flatMap((key, at) => (MADE.test(key) ? [[key, at]] : []));
      return `const places = ${JSON.stringify(Object.fromEntries(found))};export const at = key => places[key]`;
    },
  ],
];

export function words(): Plugin[] {
  return [
    {
      name: 'shoal-words',
      apply: 'build',
      enforce: 'pre',
      load(id) {
        const found = made.find(([end]) => id.endsWith(end));
        return found && { code: found[1](), moduleType: 'js' };
      },
      transform(code, id) {
        return id.endsWith('.svelte') && id.includes('/src/') ? { code: withPlaces(code), map: null } : null;
      },
    },
    {
      name: 'shoal-words-by-place',
      apply: 'build',
      enforce: 'post',
      transform(code, id) {
        if (!id.includes('/web/src/') || !/\.(svelte|ts)$/.test(id)) return null;
        if (LOST.test(code.replace(HELD, ''))) this.error(`a text's place is in no element: ${id}`);
        const script = byPlace(code);
        return {
          code: script.includes('$.from_html(')
            ? `import { template as $template } from '/src/lib/i18n/template';${script.replaceAll('$.from_html(', '$template(')}`
            : script,
          map: null,
        };
      },
    },
  ];
}
