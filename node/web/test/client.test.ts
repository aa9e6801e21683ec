import { expect, test } from 'vitest';
import { Api, ApiError, Offline, queryOf } from '../src/lib/api/client';

interface Seen {
  path: string;
  init: RequestInit;
}

/** An Api over a function that answers, and what was asked of it. */
function api(answer: () => Response | Promise<Response>): { api: Api; seen: Seen[]; refused: number[] } {
  const seen: Seen[] = [];
  const refused: number[] = [];
  const made = new Api(
    'secret',
    async (path, init) => {
      seen.push({ path, init });
      return answer();
    },
    (error) => refused.push(error.status),
  );
  return { api: made, seen, refused };
}

const json = (value: unknown, status = 200): Response =>
  new Response(JSON.stringify(value), { status });

test('each call bears the token in its header and nowhere else', async () => {
  const { api: calls, seen } = api(() => json([]));
  await calls.personas();
  expect(seen[0]?.path).toBe('/api/v1/personas');
  expect(seen[0]?.init.headers).toMatchObject({ Authorization: 'Bearer secret' });
  expect(seen[0]?.init.credentials).toBe('omit');
});

test('a ticket is redeemed in the body of one call', async () => {
  const { api: calls, seen } = api(() => json({ token: 'found' }));
  expect(await calls.redeem('once')).toEqual({ token: 'found' });
  expect(seen[0]?.path).toBe('/api/v1/ticket');
  expect(JSON.parse(String(seen[0]?.init.body))).toEqual({ ticket: 'once' });
});

test('a message is sent with its key, and with its own time even if that is none', async () => {
  const { api: calls, seen } = api(() => json({}, 202));
  await calls.send('talk', 'hello', { reply_to: null, expires_after: 60 }, 'key-1');
  expect(seen[0]?.init.headers).toMatchObject({ 'Idempotency-Key': 'key-1' });
  expect(JSON.parse(String(seen[0]?.init.body))).toEqual({ text: 'hello', expires_after: 60 });
  await calls.send('talk', 'hello', { reply_to: 'm1' }, 'key-2');
  expect(JSON.parse(String(seen[1]?.init.body))).toEqual({
    text: 'hello',
    reply_to: 'm1',
    expires_after: null,
  });
});

test('a call without a body of its own sends an empty object', async () => {
  const { api: calls, seen } = api(() => json({ state: 'locked', passphrase: true }));
  await calls.lock();
  expect(seen[0]?.init.body).toBe('{}');
});

test('pictures and files go where each belongs, with their texts in the address', async () => {
  const { api: calls, seen } = api(() => json({}, 202));
  const bytes = new Blob(['x']);
  const file = { bytes, name: 'a b&c.txt', type: 'text/plain', picture: false };
  await calls.attach('talk', 'see', file, {}, 'k');
  await calls.attach('talk', '', { ...file, type: 'image/png', picture: true }, {}, 'k');
  expect(seen[0]?.path).toBe(
    '/api/v1/conversations/talk/files?name=a+b%26c.txt&media_type=text%2Fplain&text=see',
  );
  expect(seen[0]?.init.headers).toMatchObject({ 'Content-Type': 'application/octet-stream' });
  expect(seen[1]?.path).toBe('/api/v1/conversations/talk/pictures');
  expect(seen[1]?.init.headers).toMatchObject({ 'Content-Type': 'image/png' });
});

test('a refusal is told in the node’s own sentence', async () => {
  const { api: calls, refused } = api(() => json({ title: 'Conflict', detail: 'Too many.' }, 409));
  const error = await calls.createPersona({}).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ApiError);
  expect((error as ApiError).message).toBe('Too many.');
  expect((error as ApiError).status).toBe(409);
  expect(refused).toEqual([]);
});

test('a lost token and a locked store are noticed whatever was asked', async () => {
  for (const status of [401, 423]) {
    const { api: calls, refused } = api(() => json({ detail: 'No.' }, status));
    await expect(calls.status()).rejects.toBeInstanceOf(ApiError);
    expect(refused).toEqual([status]);
  }
});

test('a refusal without a problem document still has a sentence', async () => {
  const { api: calls } = api(() => new Response('<html>', { status: 502, statusText: 'Bad Gateway' }));
  await expect(calls.status()).rejects.toThrow('502 Bad Gateway');
});

test('no answer, or half of one, is being offline', async () => {
  const { api: silent } = api(() => Promise.reject(new TypeError('failed to fetch')));
  await expect(silent.status()).rejects.toBeInstanceOf(Offline);
  const { api: half } = api(() => new Response('{"ready": tr'));
  await expect(half.status()).rejects.toBeInstanceOf(Offline);
});

test('queries leave out what is not given', () => {
  expect(queryOf({ before: null, limit: 60, q: '中 文' })).toBe('?limit=60&q=%E4%B8%AD+%E6%96%87');
  expect(queryOf({ persona: undefined })).toBe('');
});
