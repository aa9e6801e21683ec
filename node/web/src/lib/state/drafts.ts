// What is written and not sent, for each conversation, until the page is left or the node locked.
//
// In memory alone: browsers write their storage, a session's too, to the disk in the clear.

const texts = new Map<string, string>();

export const drafts = {
  get(conversation: string): string {
    return texts.get(conversation) ?? '';
  },
  set(conversation: string, text: string): void {
    if (text) texts.set(conversation, text);
    else texts.delete(conversation);
  },
  forget(): void {
    texts.clear();
  },
};
