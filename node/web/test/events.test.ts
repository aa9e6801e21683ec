import { expect, test } from 'vitest';
import {
  delay,
  EventStream,
  FIRST_DELAY,
  LAST_DELAY,
  parse,
  type SocketLike,
} from '../src/lib/api/events';

/** One end of a connection, driven by the test. */
class Wire implements SocketLike {
  onmessage: SocketLike['onmessage'] = null;
  onclose: SocketLike['onclose'] = null;
  closed = false;

  constructor(readonly since: number | null) {}

  close(): void {
    this.closed = true;
  }

  say(seq: number, type = 'network'): void {
    this.onmessage?.({ data: JSON.stringify({ seq, type, data: {} }) });
  }

  end(code = 1006): void {
    this.onclose?.({ code });
  }
}

function stream(answers = false) {
  const wires: Wire[] = [];
  const log: string[] = [];
  const waits: number[] = [];
  let due: (() => void) | null = null;
  const followed = new EventStream({
    open: (since) => {
      const wire = new Wire(since);
      wires.push(wire);
      return wire;
    },
    onFresh: () => log.push('fresh'),
    onFrame: (frame) => log.push(`${frame.type} ${frame.seq}`),
    onState: (state) => log.push(state),
    answers: () => Promise.resolve(answers),
    later: (run, wait) => {
      waits.push(wait);
      due = run;
      return () => (due = null);
    },
    random: () => 1,
  });
  const settle = () => new Promise<void>((resolve) => setTimeout(resolve));
  const again = async () => {
    await settle();
    due?.();
  };
  const last = (): Wire => {
    const wire = wires.at(-1);
    if (!wire) throw new Error('nothing was opened');
    return wire;
  };
  return { followed, wires, log, waits, again, settle, last, scheduled: () => due !== null };
}

test('the first connection reads everything before any event', () => {
  const { followed, log, last } = stream();
  followed.start();
  last().say(10);
  last().say(11, 'message');
  expect(log).toEqual(['connecting', 'live', 'fresh', 'network 10', 'message 11']);
});

test('a broken connection is resumed after the last number, and nothing is read anew', async () => {
  const { followed, log, last, again } = stream();
  followed.start();
  last().say(10);
  last().say(11, 'message');
  last().end();
  await again();
  expect(last().since).toBe(11);
  last().say(11);
  last().say(12, 'message');
  expect(log.filter((line) => line === 'fresh')).toHaveLength(1);
  expect(log.slice(-2)).toEqual(['network 11', 'message 12']);
});

test('a number that is no longer kept makes everything be read anew', async () => {
  const { followed, log, last, again } = stream(true);
  followed.start();
  last().say(10);
  last().end();
  await again();
  last().end(); // 410: closed before a frame, while the node answers
  await again();
  expect(last().since).toBeNull();
  last().say(99);
  expect(log.filter((line) => line === 'fresh')).toHaveLength(2);
});

test('a node that is away keeps its number until it is back', async () => {
  const { followed, last, again } = stream(false);
  followed.start();
  last().say(10);
  last().end();
  for (let tries = 0; tries < 3; tries += 1) {
    await again();
    last().end();
  }
  await again();
  expect(last().since).toBe(10);
});

test('a follower that was too slow reads everything anew', async () => {
  const { followed, last, again } = stream();
  followed.start();
  last().say(10);
  last().end(1013);
  await again();
  expect(last().since).toBeNull();
});

test('waits grow up to a bound and start over once it is live', async () => {
  const { followed, waits, last, again } = stream();
  followed.start();
  for (let tries = 0; tries < 8; tries += 1) {
    last().end();
    await again();
  }
  expect(waits[0]).toBe(FIRST_DELAY);
  expect(waits.at(-1)).toBe(LAST_DELAY);
  last().say(1);
  last().end();
  await again();
  expect(waits.at(-1)).toBe(FIRST_DELAY);
});

test('hurrying connects at once and only once', async () => {
  const { followed, wires, last, settle, scheduled } = stream();
  followed.start();
  last().end();
  await settle();
  followed.hurry();
  followed.hurry();
  expect(wires).toHaveLength(2);
  expect(scheduled()).toBe(false);
});

test('once stopped, nothing of the old connection is heard and none is made', async () => {
  const { followed, wires, log, last, settle, scheduled } = stream();
  followed.start();
  const wire = last();
  wire.say(10);
  followed.stop();
  const before = log.length;
  wire.say(11, 'message');
  wire.end();
  await settle();
  expect(wire.closed).toBe(true);
  expect(log).toHaveLength(before);
  expect(wires).toHaveLength(1);
  expect(scheduled()).toBe(false);
});

test('what is no frame is passed over', () => {
  for (const data of ['', '[]', '{"seq":"1","type":"x"}', '{"seq":1}', 'null', new ArrayBuffer(1)])
    expect(parse(data)).toBeNull();
});

test('half of each wait is left to chance, so that pages do not come back at once', () => {
  expect(delay(0, () => 0)).toBe(FIRST_DELAY / 2);
  expect(delay(0, () => 1)).toBe(FIRST_DELAY);
  expect(delay(1000, () => 1)).toBe(LAST_DELAY);
});
