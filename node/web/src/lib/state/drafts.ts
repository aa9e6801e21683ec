// What is written and not sent, for each conversation, until the window closes.

const PREFIX = 'draft.';

export const drafts = {
  get(conversation: string): string {
    return sessionStorage.getItem(PREFIX + conversation) ?? '';
  },
  set(conversation: string, text: string): void {
    if (text) sessionStorage.setItem(PREFIX + conversation, text);
    else sessionStorage.removeItem(PREFIX + conversation);
  },
  forget(): void {
    for (const key of Object.keys(sessionStorage))
      if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
  },
};
