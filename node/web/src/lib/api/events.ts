// Follows the node's events without gaps, and says when everything must be read anew.
//
//             ┌──────────── first frame ───────────┐
//   connecting ─────> live ──closed──> waiting ──after backoff──> connecting
//                      │ no number to resume from: onFresh, then the frames after it
//                      └ resumed: the frames since the last one
//
// A socket that ends before its first frame while the node answers calls means that the number
// is no longer kept (410): the next connection begins afresh. A browser does not show the status.

import type { Frame } from './types';

export type StreamState = 'connecting' | 'live' | 'waiting';

export interface SocketLike {
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  close(): void;
}

export interface StreamOptions {
  open(since: number | null): SocketLike;
  onFresh(): void; // frames were missed, or this is the first connection: read everything
  onFrame(frame: Frame): void;
  onState(state: StreamState): void;
  answers(): Promise<boolean>; // does the node answer an ordinary call?
  later?: (run: () => void, milliseconds: number) => () => void; // returns how to cancel
  random?: () => number;
}

export const FIRST_DELAY = 500; // ms
export const LAST_DELAY = 4000; // ms: the node is on this machine
const SLOW_FOLLOWER = 1013;

export class EventStream {
  #since: number | null = null;
  #attempt = 0;
  #socket: SocketLike | null = null;
  #cancel: (() => void) | null = null;
  #stopped = true;

  constructor(private readonly options: StreamOptions) {}

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#connect();
  }

  /** End for good; the next start reads everything anew. */
  stop(): void {
    this.#stopped = true;
    this.#since = null;
    this.#attempt = 0;
    this.#cancel?.();
    this.#cancel = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** Try now instead of after the backoff: the machine woke up, or the person asks. */
  hurry(): void {
    if (this.#stopped || this.#socket) return;
    this.#cancel?.();
    this.#cancel = null;
    this.#connect();
  }

  #connect(): void {
    this.options.onState('connecting');
    const since = this.#since;
    const socket = this.options.open(since);
    this.#socket = socket;
    let opened = false;
    socket.onmessage = ({ data }) => {
      if (this.#socket !== socket) return;
      const frame = parse(data);
      if (frame === null) return;
      this.#since = frame.seq;
      if (!opened) {
        opened = true;
        this.#attempt = 0;
        this.options.onState('live');
        if (since === null) this.options.onFresh();
      }
      this.options.onFrame(frame);
    };
    socket.onclose = ({ code }) => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      if (code === SLOW_FOLLOWER) this.#since = null;
      void this.#retry(opened, since !== null);
    };
  }

  async #retry(opened: boolean, resuming: boolean): Promise<void> {
    this.options.onState('waiting');
    if (!opened && resuming && (await this.options.answers())) {
      this.#since = null;
      this.#attempt = 0;
    }
    if (this.#stopped || this.#socket) return;
    const wait = delay(this.#attempt, this.options.random ?? Math.random);
    this.#attempt += 1;
    const later = this.options.later ?? afterTimeout;
    this.#cancel = later(() => {
      this.#cancel = null;
      this.#connect();
    }, wait);
  }
}

/** Doubles from FIRST_DELAY to LAST_DELAY, the last half of it at random. */
export function delay(attempt: number, random: () => number): number {
  const whole = Math.min(LAST_DELAY, FIRST_DELAY * 2 ** Math.min(attempt, 16));
  return Math.round(whole / 2 + (whole / 2) * random());
}

export function parse(data: unknown): Frame | null {
  if (typeof data !== 'string') return null;
  try {
    const frame: unknown = JSON.parse(data);
    if (typeof frame !== 'object' || frame === null) return null;
    const { seq, type } = frame as { seq?: unknown; type?: unknown };
    if (typeof seq !== 'number' || typeof type !== 'string') return null;
    return frame as Frame;
  } catch {
    return null;
  }
}

function afterTimeout(run: () => void, milliseconds: number): () => void {
  const id = setTimeout(run, milliseconds);
  return () => clearTimeout(id);
}

export function webSocket(token: string, since: number | null): SocketLike {
  const url = new URL('/api/v1/events', location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  if (since !== null) url.searchParams.set('since', String(since));
  const socket = new WebSocket(url, ['shoal.v1', `bearer.${token}`]);
  const like: SocketLike = { onmessage: null, onclose: null, close: () => socket.close() };
  socket.onmessage = (event) => like.onmessage?.({ data: event.data as unknown });
  socket.onclose = (event) => like.onclose?.({ code: event.code });
  return like;
}
