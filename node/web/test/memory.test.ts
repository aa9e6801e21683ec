import { expect, test } from 'vitest';
import { Offline } from '../src/lib/api/client';
import type { Message } from '../src/lib/api/types';
import { drafts } from '../src/lib/state/drafts';
import { Outbox } from '../src/lib/state/outbox.svelte';
import { Thread } from '../src/lib/state/store.svelte';

const stored = (): string => JSON.stringify(Object.entries(globalThis.sessionStorage ?? {}));

test('what is written and not sent is in memory alone, and goes with the lock', () => {
  drafts.set('talk', 'half a sentence');
  expect(drafts.get('talk')).toBe('half a sentence');
  expect(stored()).not.toContain('half');
  drafts.forget();
  expect(drafts.get('talk')).toBe('');
});

test('messages on their way are in memory alone, and go with the lock', () => {
  const away = (): never => {
    throw new Offline();
  };
  const outbox = new Outbox(away, () => undefined);
  outbox.add('talk', 'a whole sentence', null, null, null);
  expect(outbox.of('talk').map((pending) => pending.text)).toEqual(['a whole sentence']);
  expect(outbox.empty).toBe(false);
  expect(stored()).not.toContain('whole');
  outbox.forget();
  expect(outbox.empty).toBe(true);
});

test('an answer does not keep the words of a message that is gone', () => {
  const message = (id: string, quoted: string | null): Message => ({
    id,
    conversation: 'talk',
    persona: 'me',
    from: 'them',
    outgoing: false,
    text: id,
    status: 'fetched',
    request: false,
    created: '2026-05-10T08:00:00Z',
    received: '2026-05-10T08:00:01Z',
    file: null,
    reply_to: quoted === null ? null : { id: quoted, outgoing: true, text: 'the words' },
    expires_after: null,
    expires: null,
  });
  const thread = new Thread();
  thread.messages = [message('a', null), message('b', 'a'), message('c', 'b')];
  thread.remove('a');
  expect(thread.messages.map((one) => one.reply_to)).toEqual([
    { id: null, outgoing: true, text: null },
    { id: 'b', outgoing: true, text: 'the words' },
  ]);
});
