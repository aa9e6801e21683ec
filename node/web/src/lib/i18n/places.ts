// What the page and its build (plugins/words.ts) agree upon about the places of texts.

/** The letter of the first text's place, in Unicode's private area: U+E000 to U+F8FF. */
export const FIRST = 0xe000;

/** The letter of the first icon's place. */
export const ICONS = 0xf000;

/** Texts whose names are put together at run time, of a code of the node's. */
export const MADE = /^(link|refused|req_price|set_preset|state|nw_path_(guard|mix|service)|per_(momo|dice|own))(_|$)/;
