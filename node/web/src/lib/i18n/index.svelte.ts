// The reader's language, chosen in the settings or taken from the browser.

import type { LanguageChoice } from '../api/types';
import { en, type Dictionary, type Key, type Plural } from './en';
import { zh } from './zh';

export type Language = 'en' | 'zh';
export type { Key };

export const dictionaries: Record<Language, Dictionary> = { en, zh };

let chosen = $state<Language>('en');

export function language(): Language {
  return chosen;
}

/** What Intl and `lang` are told. */
export function locale(): string {
  return chosen === 'zh' ? 'zh-Hans' : 'en';
}

export function setLanguage(choice: LanguageChoice, preferred: readonly string[]): void {
  chosen = choice === 'auto' ? best(preferred) : choice;
}

export function best(preferred: readonly string[]): Language {
  for (const tag of preferred) {
    const primary = tag.toLowerCase().split('-')[0];
    if (primary === 'zh' || primary === 'en') return primary;
  }
  return 'en';
}

type Values = Record<string, string | number>;

export function t(key: Key, values: Values = {}): string {
  return render(dictionaries[chosen][key], values, locale());
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
export function known(key: string): key is Key {
  return Object.hasOwn(en, key);
}
