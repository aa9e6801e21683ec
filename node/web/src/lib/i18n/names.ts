// Drawn names in words, from the same table as the terminal's: two indices that each reader
// sees in a language of their own. An index beyond a list counts from its start.

import table from '../../../../shoal_node/names.json';

export function drawnName(drawn: readonly number[], language: 'en' | 'zh'): string {
  const adjectives = table.adjectives[language];
  const nouns = table.nouns[language];
  const adjective = adjectives[(drawn[0] ?? 0) % adjectives.length] ?? '';
  const noun = nouns[(drawn[1] ?? 0) % nouns.length] ?? '';
  return language === 'zh' ? adjective + noun : `${capital(adjective)} ${capital(noun)}`;
}

function capital(word: string): string {
  return word.replace(/(^|[\s-])(\p{Ll})/gu, (_, before: string, letter: string) => before + letter.toUpperCase());
}
