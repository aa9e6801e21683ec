// The reader's language, chosen in the settings or taken from the browser.

import type { LanguageChoice } from '../api/types';
import { en, type Dictionary, type Key, type Plural } from './en';

export type Language = 'en' | 'zh';
export type { Key };

let chosen = $state<Language>('en');
let dictionary = $state.raw<Dictionary>(en);
let wanted: Language = 'en';

export function language(): Language {
  return chosen;
}

/** What Intl and `lang` are told. */
export function locale(): string {
  return chosen === 'zh' ? 'zh-Hans' : 'en';
}

/** English is always here; another language is fetched when it is wanted. */
export async function setLanguage(
  choice: LanguageChoice,
  preferred: readonly string[],
): Promise<void> {
  wanted = choice === 'auto' ? best(preferred) : choice;
  if (wanted === chosen) return;
  const language = wanted;
  const fetched = language === 'zh' ? (await import('./zh')).zh : en;
  if (language !== wanted) return; // chosen otherwise meanwhile
  dictionary = fetched;
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

/** Texts that need nothing filled in: `w.chat_new`. They follow the language. */
export const w = new Proxy({} as Record<Word, string>, {
  get: (_, key) => dictionary[key as Word],
});

/** A text with its values filled in. */
export function t(key: Key, values: Values): string {
  return render(dictionary[key], values, locale());
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

/** A key made from a code of the node, when there is one. */
export function known(key: string): key is Word {
  return Object.hasOwn(en, key);
}
