// Messages on their way from the page to the node, in order for each conversation.
//
//   queue ──> sending ──answer──> gone: the node's message stands in its place
//               │ └── refused ──> failed: the person sends again or discards it
//               └──── no answer, 429, 503 ──> waiting ──> sending, with the same key
//
// All of it is kept in memory alone, since browsers write their storage, a session's too, to the
// disk in the clear: whoever leaves the page before the node has answered is asked first.

import { ApiError, Offline, type Api, type Attachment } from '../api/client';
import type { Message, Quote } from '../api/types';

const AGAIN = 3000; // ms until a busy node is asked again

export interface PendingFile {
  name: string;
  size: number;
  picture: boolean;
  url: string | null; // of the preview
}

export interface Pending {
  key: string;
  conversation: string;
  text: string;
  reply: Quote | null;
  expires: number | null; // seconds
  created: string;
  state: 'sending' | 'waiting' | 'failed';
  detail: string | null;
  file: PendingFile | null;
  arrived: boolean; // the node's event came before its answer
}

export class Outbox {
  list = $state.raw<Pending[]>([]);
  #bytes = new Map<string, Attachment>();
  #busy = new Set<string>();

  constructor(
    private readonly api: () => Api,
    private readonly onSent: (message: Message) => void,
  ) {}

  get empty(): boolean {
    return this.list.length === 0;
  }

  of(conversation: string): Pending[] {
    return this.list.filter((p) => p.conversation === conversation && !p.arrived);
  }

  add(
    conversation: string,
    text: string,
    reply: Quote | null,
    expires: number | null,
    attachment: Attachment | null,
  ): void {
    const key = crypto.randomUUID();
    if (attachment) this.#bytes.set(key, attachment);
    const pending: Pending = {
      key,
      conversation,
      text,
      reply,
      expires,
      created: new Date().toISOString(),
      state: 'sending',
      detail: null,
      file: attachment && {
        name: attachment.name,
        size: attachment.bytes.size,
        picture: attachment.picture,
        url: attachment.picture ? URL.createObjectURL(attachment.bytes) : null,
      },
      arrived: false,
    };
    this.list = [...this.list, pending];
    void this.#drain(conversation);
  }

  retry(key: string): void {
    const fresh = crypto.randomUUID(); // the node may have kept the refusal under the old one
    const bytes = this.#bytes.get(key);
    this.#bytes.delete(key);
    if (bytes) this.#bytes.set(fresh, bytes);
    this.#change(key, { key: fresh, state: 'sending', detail: null });
    this.resume();
  }

  discard(key: string): void {
    this.#take(key);
  }

  /** The node answers again. */
  resume(): void {
    for (const conversation of new Set(this.list.map((p) => p.conversation)))
      void this.#drain(conversation);
  }

  forget(): void {
    for (const { key } of [...this.list]) this.#take(key);
  }

  /** An event bears a message of one's own: if it is one of these, it is not shown twice. */
  met(message: Message): void {
    const pending = this.list.find(
      (p) =>
        !p.arrived &&
        p.state === 'sending' &&
        p.conversation === message.conversation &&
        p.text === message.text &&
        (p.file === null) === (message.file === null),
    );
    if (pending && Date.parse(pending.created) <= Date.parse(message.created))
      this.#change(pending.key, { arrived: true });
  }

  async #drain(conversation: string): Promise<void> {
    if (this.#busy.has(conversation)) return;
    this.#busy.add(conversation);
    try {
      for (;;) {
        const next = this.list.find(
          (p) => p.conversation === conversation && p.state !== 'failed',
        );
        if (!next) return;
        this.#change(next.key, { state: 'sending' });
        try {
          this.#sent(next.key, await this.#post(next));
        } catch (error) {
          if (!this.list.some((p) => p.key === next.key)) continue;
          if (error instanceof Offline || waits(error)) {
            this.#change(next.key, { state: 'waiting' });
            if (waits(error)) setTimeout(() => void this.#drain(conversation), AGAIN);
            return;
          }
          const detail = error instanceof ApiError ? error.message : null;
          this.#change(next.key, { state: 'failed', detail });
        }
      }
    } finally {
      this.#busy.delete(conversation);
    }
  }

  #change(key: string, change: Partial<Pending>): void {
    this.list = this.list.map((p) => (p.key === key ? { ...p, ...change } : p));
  }

  #post(pending: Pending): Promise<Message> {
    const options = { reply_to: pending.reply?.id ?? null, expires_after: pending.expires };
    const attachment = this.#bytes.get(pending.key);
    return attachment
      ? this.api().attach(pending.conversation, pending.text, attachment, options, pending.key)
      : this.api().send(pending.conversation, pending.text, options, pending.key);
  }

  #sent(key: string, message: Message): void {
    this.#take(key);
    this.onSent(message);
  }

  #take(key: string): void {
    const pending = this.list.find((p) => p.key === key);
    if (pending?.file?.url) URL.revokeObjectURL(pending.file.url);
    this.list = this.list.filter((p) => p.key !== key);
    this.#bytes.delete(key);
  }
}

function waits(error: unknown): boolean {
  return (
    error instanceof ApiError &&
    (error.status === 429 || error.status === 503 || error.status === 423 || error.status === 401)
  );
}
