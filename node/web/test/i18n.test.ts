import { expect, test } from 'vitest';
import { words as en } from '../src/lib/i18n/en';
import { best, known, render, setLanguage } from '../src/lib/i18n/index.svelte';
import { drawnName } from '../src/lib/i18n/names';
import { words as zh } from '../src/lib/i18n/zh';

const blanks = (text: unknown): string[] =>
  [...JSON.stringify(text).matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '').toSorted();
const once = (list: string[]): string[] => [...new Set(list)];

test('both languages have the same keys', () => {
  expect(Object.keys(zh).toSorted()).toEqual(Object.keys(en).toSorted());
});

test('a text has the same blanks in both languages', () => {
  for (const key of Object.keys(en) as (keyof typeof en)[])
    expect([key, once(blanks(zh[key]))]).toEqual([key, once(blanks(en[key]))]);
});

test('a text is a plural in both languages or in neither, and never empty', () => {
  for (const key of Object.keys(en) as (keyof typeof en)[]) {
    expect(typeof zh[key]).toBe(typeof en[key]);
    for (const text of [en[key], zh[key]])
      for (const words of typeof text === 'string' ? [text] : Object.values(text))
        expect(words.trim()).not.toBe('');
  }
});

test('Chinese texts are Chinese, and punctuated so', () => {
  const same = new Set(['momo', 'per_momo', 'chat_from', 'nw_version', 'refused_with']);
  for (const [key, text] of Object.entries(zh)) {
    const words = typeof text === 'string' ? text : text.other;
    if (!same.has(key)) expect([key, /\p{Script=Han}/u.test(words)]).toEqual([key, true]);
    expect([key, /\p{Script=Han}[,?!;:]/u.test(words)]).toEqual([key, false]);
  }
});

test('plurals follow the language', () => {
  expect(render(en.list_unread, { n: 1 }, 'en')).toBe('1 unread message');
  expect(render(en.list_unread, { n: 1200 }, 'en')).toBe('1,200 unread messages');
  expect(render(zh.list_unread, { n: 1 }, 'zh-Hans')).toBe('1 条未读消息');
});

test('what is filled in is text, whatever it holds', () => {
  expect(render('Hi {name}', { name: '{n} <b> $& ' }, 'en')).toBe('Hi {n} <b> $& ');
  expect(render('Hi {name}', {}, 'en')).toBe('Hi {name}');
});

test('the language is the first of the preferred ones that is spoken here', () => {
  expect(best(['de-DE', 'zh-TW', 'en'])).toBe('zh');
  expect(best(['en-GB', 'zh'])).toBe('en');
  expect(best(['fr'])).toBe('en');
});

test('codes of the node lead to texts that there are, and to nothing inherited', async () => {
  await setLanguage('en', []);
  expect(known('link_guard')).toBe(true);
  expect(known('toString')).toBe(false);
});

test('a drawn name is the same place of both lists, and wraps around', async () => {
  await setLanguage('en', []);
  expect(drawnName([0, 0])).toMatch(/^\p{Lu}\S* \p{Lu}/u);
  expect(drawnName([65_535, 65_535])).toMatch(/^\p{Lu}\S* \p{Lu}/u);
  await setLanguage('zh', []);
  expect(drawnName([0, 0])).toMatch(/^\p{Script=Han}+$/u);
});
