// The reader's language, chosen in the settings or taken from the browser.

import type { LanguageChoice } from '../api/types';
import type { Dictionary, Key, Plural } from './en';
import { at } from './keys';

export type Language = 'en' | 'zh';
export type { Key };

let chosen = $state.raw<Language | null>(null);
let wanted: Language = 'en';

export function language(): Language {
  return chosen ?? 'en';
}

/** Whether there are any texts yet. */
export function spoken(): boolean {
  return chosen !== null;
}

/** What Intl and `lang` are told. */
export function locale(): string {
  return chosen === 'zh' ? 'zh-Hans' : 'en';
}

/** Each language is fetched when it is wanted, so that nobody carries the others. */
export async function setLanguage(
  choice: LanguageChoice,
  preferred: readonly string[],
): Promise<void> {
  wanted = choice === 'auto' ? best(preferred) : choice;
  if (wanted === chosen) return;
  const language = wanted;
  const fetched = await (language === 'zh' ? import('./zh') : import('./en'));
  if (language !== wanted) return; // chosen otherwise meanwhile
  w = fetched.words as Words;
  names = fetched.names;
  chosen = language;
}

export function best(preferred: readonly string[]): Language {
  for (const tag of preferred) {
    const primary = tag.toLowerCase().split('-')[0];
    if (primary === 'zh' || primary === 'en') return primary;
  }
  return 'en';
}

type Values = Record<string, string | number>;

/** Keys whose text says nothing of numbers. */
export type Word = { [K in Key]: Dictionary[K] extends string ? K : never }[Key];

export interface Names {
  adjectives: string[];
  nouns: string[];
}

type Words = Record<Word, string>;

/** Texts that need nothing filled in: `w.chat_new`. When the language changes, all is drawn anew. */
export let w = {} as Words;

/** What drawn names are made of. */
export let names: Names = { adjectives: [], nouns: [] };

/** A text with its values filled in. */
export function t(key: Key, values: Values): string {
  return render((w as Record<Key, string | Plural>)[key], values, locale());
}

/** Names that are put together at run time: a family's beginning and a code (places.ts). */
type Made = Extract<
  Word,
  `${'link' | 'refused' | 'req_price' | 'set_preset' | 'state' | 'nw_path' | 'per'}_${string}`
>;

/** The text of a name that is put together at run time. */
export function word(key: Made): string {
  return w[at(key) as Word];
}

export function render(text: string | Plural, values: Values, tag: string): string {
  let sentence: string;
  if (typeof text === 'string') sentence = text;
  else {
    const category = new Intl.PluralRules(tag).select(Number(values['n'] ?? 0));
    sentence = (category === 'one' ? text.one : undefined) ?? text.other;
  }
  return sentence.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === 'number' ? new Intl.NumberFormat(tag).format(value) : value;
  });
}

/** A name made from a code of the node, when there is a text for it. */
export function known(key: string): key is Made {
  return Object.hasOwn(w, at(key));
}
