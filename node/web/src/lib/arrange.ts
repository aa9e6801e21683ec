// Turns messages into what is drawn: days, the line before what is new, and bubbles in groups.
//
//   group: same side, same day, at most five minutes apart, nothing in between

import type { Message } from './api/types';
import type { Pending } from './state/outbox.svelte';

export const GROUP = 5 * 60_000; // ms

export type Shown =
  | { kind: 'day'; key: string; name: string }
  | { kind: 'new'; key: string }
  | { kind: 'message'; message: Message; first: boolean; last: boolean }
  | { kind: 'pending'; pending: Pending; first: boolean; last: boolean };

/** When a message stands in the conversation: incoming ones when they came. */
export function timeOf(message: Message): string {
  return message.received ?? message.created;
}

export function arranged(
  messages: readonly Message[],
  pending: readonly Pending[],
  firstNew: string | null,
  day: (time: string) => string,
): Shown[] {
  const shown: Shown[] = [];
  let name = '';
  let before: { outgoing: boolean; at: number; item: Shown & { last: boolean } } | null = null;

  function add(
    item: { kind: 'message'; message: Message } | { kind: 'pending'; pending: Pending },
    outgoing: boolean,
    time: string,
  ): void {
    const heading = day(time);
    if (heading !== name) {
      name = heading;
      shown.push({ kind: 'day', key: `day ${time}`, name });
      before = null;
    }
    if (item.kind === 'message' && item.message.id === firstNew) {
      shown.push({ kind: 'new', key: 'new' });
      before = null;
    }
    const at = Date.parse(time);
    const joins = before !== null && before.outgoing === outgoing && at - before.at < GROUP;
    if (joins && before) before.item.last = false;
    const entry = { ...item, first: !joins, last: true };
    shown.push(entry);
    before = { outgoing, at, item: entry };
  }

  for (const message of messages) add({ kind: 'message', message }, message.outgoing, timeOf(message));
  for (const one of pending) add({ kind: 'pending', pending: one }, true, one.created);
  return shown;
}

const EMOJI = /^(?:\p{Extended_Pictographic}(?:\p{Emoji_Modifier}|\uFE0F|\u200D\p{Extended_Pictographic})*|\p{Regional_Indicator}{2}|\s){1,8}$/u;

/** A few pictures instead of words are drawn large. */
export function onlyEmoji(text: string): boolean {
  const trimmed = text.trim();
  return trimmed.length > 0 && trimmed.length <= 24 && EMOJI.test(trimmed);
}
