import { expect, test } from 'vitest';
import type { Message } from '../src/lib/api/types';
import { arranged, onlyEmoji } from '../src/lib/arrange';
import type { Pending } from '../src/lib/state/outbox.svelte';
import { merged } from '../src/lib/state/store.svelte';

function message(id: string, minute: number, outgoing = false): Message {
  const time = new Date(Date.UTC(2026, 4, 10, 8, minute)).toISOString();
  return {
    id,
    conversation: 'talk',
    persona: 'me',
    from: outgoing ? 'me' : 'them',
    outgoing,
    text: id,
    status: 'fetched',
    request: false,
    created: time,
    received: outgoing ? null : time,
    file: null,
    reply_to: null,
    expires_after: null,
    expires: null,
  };
}

const pending: Pending = {
  key: 'k',
  conversation: 'talk',
  text: 'on its way',
  reply: null,
  expires: null,
  created: new Date(Date.UTC(2026, 4, 10, 8, 3)).toISOString(),
  state: 'sending',
  detail: null,
  file: null,
  arrived: false,
};

const day = (time: string): string => time.slice(0, 10);
const drawn = (items: ReturnType<typeof arranged>): string[] =>
  items.map((item) =>
    item.kind === 'message'
      ? `${item.message.id}${item.first ? ' first' : ''}${item.last ? ' last' : ''}`
      : item.kind,
  );

test('messages of one side within five minutes are one group', () => {
  const items = arranged([message('a', 0), message('b', 4), message('c', 20)], [], null, day);
  expect(drawn(items)).toEqual(['day', 'a first', 'b last', 'c first last']);
});

test('the other side, a new day and the line of what is new begin a group', () => {
  const later = { ...message('d', 3), received: '2026-05-11T08:00:00Z' };
  const items = arranged([message('a', 0), message('b', 1, true), message('c', 2), later], [], 'c', day);
  expect(drawn(items)).toEqual([
    'day',
    'a first last',
    'b first last',
    'new',
    'c first last',
    'day',
    'd first last',
  ]);
});

test('what is on its way stands last and joins one’s own group', () => {
  const items = arranged([message('a', 1, true)], [pending], null, day);
  expect(drawn(items)).toEqual(['day', 'a first', 'pending']);
});

test('a few pictures are drawn large, words and digits are not', () => {
  for (const text of ['🐟', '👍🏽', '🇨🇳', '👩‍🚀 🎉', '❤️']) expect([text, onlyEmoji(text)]).toEqual([text, true]);
  for (const text of ['', ' ', '1', '#', 'hi 🐟', '🐟'.repeat(20)])
    expect([text, onlyEmoji(text)]).toEqual([text, false]);
});

test('what was read anew stands in the place of what was known, older ones stay', () => {
  const known = [message('a', 0), message('b', 1), message('c', 2)];
  const page = [message('b', 1), message('d', 3)];
  expect(merged(page, known, 'b').map((m) => m.id)).toEqual(['a', 'b', 'd']);
  expect(merged([message('x', 9)], known, 'x').map((m) => m.id)).toEqual(['x']);
  expect(merged([], known, null)).toEqual([]);
});
