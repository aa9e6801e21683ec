// Small things that all views share: short notices, a clock that ticks as often as is needed,
// copying and saving.

import { ApiError, Offline } from '../api/client';
import { known, t, w, word } from '../i18n/index.svelte';

export interface Notice {
  id: number;
  text: string;
  kind: 'info' | 'error';
}

class Notices {
  list = $state.raw<Notice[]>([]);
  #next = 1;

  say(text: string, kind: Notice['kind'] = 'info'): void {
    const id = this.#next++;
    this.list = [...this.list, { id, text, kind }].slice(-3);
    setTimeout(() => this.drop(id), kind === 'error' ? 8000 : 3500);
  }

  drop(id: number): void {
    this.list = this.list.filter((notice) => notice.id !== id);
  }

  /** Say why something failed; what has its own place on the page (lock, key) is not repeated. */
  fail(error: unknown): void {
    if (error instanceof ApiError && (error.status === 401 || error.status === 423)) return;
    this.say(reason(error), 'error');
  }
}

export function reason(error: unknown): string {
  if (error instanceof ApiError) return refusal(error.status, error.message);
  if (error instanceof Offline) return w.error_offline;
  return w.error_unknown;
}

/** What a refusal means, and the node's own sentence, which is English. */
export function refusal(status: number, sentence: string): string {
  const key = `refused_${status}`;
  return t('refused_with', { meaning: known(key) ? word(key) : w.refused, sentence });
}

export const notices = new Notices();

class Ticker {
  now = $state.raw(Date.now());
  #fast = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.#tick();
  }

  #tick(): void {
    this.now = Date.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(), this.#fast > 0 ? 1000 : 30_000);
  }

  /** Tick each second until the returned function is called. */
  hurry(): () => void {
    this.#fast += 1;
    if (this.#fast === 1) this.#tick();
    return () => {
      this.#fast -= 1;
    };
  }
}

export const ticker = new Ticker();

export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    notices.say(w.copied);
  } catch {
    notices.say(w.error_copy, 'error');
  }
}

export function download(content: Blob, name: string): void {
  const url = URL.createObjectURL(content);
  const anchor = document.createElement('a');
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const APPLE = /Mac|iPhone|iPad/.test(globalThis.navigator?.platform ?? '');

export const SEARCH_KEY = APPLE ? '⌘K' : 'Ctrl K';
