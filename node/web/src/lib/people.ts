// What somebody is called here: an own name, a drawn one in the reader's language, or momo.

import type { Profile } from './api/types';
import { w } from './i18n/index.svelte';
import { drawnName } from './i18n/names';

export function nameOf(profile: Profile): string {
  if (profile.name) return profile.name;
  if (profile.drawn_name) return drawnName(profile.drawn_name);
  return w.momo;
}

/** Whether the name is everybody's, so that a tag helps to tell two apart. */
export function isMomo(profile: Profile): boolean {
  return !profile.name && !profile.drawn_name;
}
