// Drawn names in words, from the same table as the terminal's: two indices that each reader
// sees in a language of their own. An index beyond a list counts from its start.

import { language, names } from './index.svelte';

export function drawnName(drawn: readonly number[]): string {
  const of = (list: string[], index = 0) => list[index % list.length] ?? '';
  const words = [of(names.adjectives, drawn[0]), of(names.nouns, drawn[1])];
  return language() === 'zh' ? words.join('') : words.map(capital).join(' ');
}

function capital(word: string): string {
  return word.replace(/(^|[\s-])(\p{Ll})/gu, (_, before: string, letter: string) => before + letter.toUpperCase());
}
