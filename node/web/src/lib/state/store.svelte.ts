// What the node has told: personas, conversations and the messages that were looked at.
//
//   load() ── everything anew ──> personas, conversations, status, settings, open threads
//   apply(frame) ── one event ──> the same values, each replaced by its id; twice changes nothing

import { ApiError, type Api } from '../api/client';
import type {
  Contact,
  Conversation,
  Frame,
  Message,
  Persona,
  Settings,
  Status,
} from '../api/types';

const PAGE = 60; // messages read at once

export class Thread {
  messages = $state.raw<Message[]>([]);
  complete = $state.raw(false); // the first message of all is here
  loaded = $state.raw(false);
  loading = $state.raw(false);

  upsert(message: Message): boolean {
    const place = this.messages.findIndex((known) => known.id === message.id);
    if (place >= 0) {
      this.messages = this.messages.with(place, message);
      return false;
    }
    this.messages = [...this.messages, message];
    return true;
  }

  remove(id: string): void {
    this.messages = this.messages
      .filter((message) => message.id !== id)
      .map((message) => (message.reply_to?.id === id ? unquoted(message) : message));
  }
}

export class Store {
  personas = $state.raw<Persona[]>([]);
  conversations = $state.raw<Conversation[]>([]);
  status = $state.raw<Status | null>(null);
  settings = $state.raw<Settings | null>(null);
  loaded = $state.raw(false);
  readonly threads = new Map<string, Thread>(); // each is reactive, the table is not
  /** The latest message that came by an event, for the live region. */
  arrived = $state.raw<Message | null>(null);
  #chosen = $state.raw<string | null>(sessionStorage.getItem('persona'));
  readonly #seen = new Set<string>(); // messages that events brought since the last list
  #refreshing: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly api: () => Api,
    private readonly onError: (error: unknown) => void,
  ) {}

  persona = $derived(
    this.personas.find((persona) => persona.id === this.#chosen) ?? this.personas[0] ?? null,
  );
  mine = $derived(this.conversations.filter((c) => c.persona === this.persona?.id));
  chats = $derived(
    this.mine.filter((c) => c.state !== 'request').toSorted((a, b) => recency(b) - recency(a)),
  );
  requests = $derived(this.conversations.filter((c) => c.state === 'request'));

  choose(persona: string): void {
    this.#chosen = persona;
    sessionStorage.setItem('persona', persona);
  }

  unreadOf(persona: string): number {
    return this.conversations
      .filter((c) => c.persona === persona && c.state !== 'blocked')
      .reduce((sum, c) => sum + (c.state === 'request' ? 1 : c.unread), 0);
  }

  conversation(id: string): Conversation | null {
    return this.conversations.find((c) => c.id === id) ?? null;
  }

  personaOf(id: string): Persona | null {
    return this.personas.find((persona) => persona.id === id) ?? null;
  }

  contactOf(id: string): Contact | null {
    return this.conversations.find((c) => c.contact === id)?.peer ?? null;
  }

  async load(): Promise<void> {
    const api = this.api();
    const [personas, conversations, status, settings] = await Promise.all([
      api.personas(),
      api.conversations(),
      api.status(),
      api.settings(),
    ]);
    // Whoever begins is a momo: there is nothing to fill in before the first word.
    this.personas = personas.length > 0 ? personas : [await api.createPersona({})];
    this.conversations = conversations;
    this.status = status;
    this.settings = settings;
    const known = new Set(conversations.map((c) => c.id));
    for (const [id, thread] of this.threads) {
      if (!known.has(id)) this.threads.delete(id);
      else if (thread.loaded) await this.#reread(id, thread);
    }
    this.loaded = true;
  }

  forget(): void {
    this.personas = [];
    this.conversations = [];
    this.status = null;
    this.threads.clear();
    this.#seen.clear();
    this.arrived = null;
    this.loaded = false;
    sessionStorage.removeItem('persona');
    clearTimeout(this.#refreshing);
  }

  async refreshStatus(): Promise<void> {
    this.status = await this.api().status();
  }

  async refreshPersonas(): Promise<void> {
    [this.personas, this.conversations] = await Promise.all([
      this.api().personas(),
      this.api().conversations(),
    ]);
  }

  async refreshConversations(): Promise<void> {
    this.conversations = await this.api().conversations();
  }

  /** The messages of a conversation; the newest are read at the first call. */
  thread(id: string): Thread {
    const known = this.threads.get(id);
    if (known) return known;
    const thread = new Thread();
    this.threads.set(id, thread);
    return thread;
  }

  async open(id: string): Promise<Thread> {
    const thread = this.thread(id);
    if (!thread.loaded && !thread.loading) {
      thread.loading = true;
      try {
        await this.#reread(id, thread);
      } finally {
        thread.loading = false;
      }
    }
    return thread;
  }

  async #reread(id: string, thread: Thread): Promise<void> {
    const limit = Math.min(500, Math.max(PAGE, thread.messages.length));
    const page = await this.api().messages(id, null, limit);
    thread.messages = merged(page, thread.messages, page[0]?.created ?? null);
    thread.complete = page.length < limit;
    thread.loaded = true;
  }

  /** Read what stood before the oldest message here. */
  async older(id: string, limit = PAGE): Promise<void> {
    const thread = this.thread(id);
    const first = thread.messages[0];
    if (!first || thread.complete || thread.loading) return;
    thread.loading = true;
    try {
      const page = await this.api().messages(id, first.id, limit);
      const known = new Set(thread.messages.map((message) => message.id));
      thread.messages = [...page.filter((m) => !known.has(m.id)), ...thread.messages];
      thread.complete = page.length < limit;
    } finally {
      thread.loading = false;
    }
  }

  /** Read back until a message is here; false when it is nowhere. */
  async reach(id: string, message: string): Promise<boolean> {
    const thread = await this.open(id);
    for (;;) {
      if (thread.messages.some((m) => m.id === message)) return true;
      if (thread.complete) return false;
      const before = thread.messages.length;
      await this.older(id, 500);
      if (thread.messages.length === before) return false;
    }
  }

  /** Mark as read up to a message: here at once, at the node as soon as it answers. */
  async markRead(id: string, message: string): Promise<void> {
    const conversation = this.conversation(id);
    if (!conversation || conversation.unread === 0) return;
    const messages = this.threads.get(id)?.messages ?? [];
    const place = messages.findIndex((known) => known.id === message);
    const unread =
      place < 0 ? 0 : messages.slice(place + 1).filter((known) => !known.outgoing).length;
    if (unread >= conversation.unread) return; // seen before
    this.change({ ...conversation, unread });
    try {
      await this.api().markRead(id, message);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) this.onError(error); // 404: gone meanwhile
    }
  }

  apply(frame: Frame): void {
    switch (frame.type) {
      case 'message':
        this.addMessage(frame.data, true);
        break;
      case 'status': {
        const change = frame.data;
        const update = (message: Message): Message => ({
          ...message,
          status: change.status,
          file: change.file ?? message.file,
        });
        const thread = this.threads.get(change.conversation);
        const known = thread?.messages.find((message) => message.id === change.id);
        if (thread && known) thread.upsert(update(known));
        const conversation = this.conversation(change.conversation);
        if (conversation?.last?.id === change.id)
          this.change({ ...conversation, last: update(conversation.last) });
        break;
      }
      case 'contact': {
        const contact = frame.data;
        const conversation = this.conversation(contact.conversation);
        if (conversation) this.change({ ...conversation, peer: contact, state: contact.state });
        this.#refreshSoon();
        break;
      }
      case 'network':
        if (this.status) this.status = { ...this.status, ...frame.data };
        break;
      case 'removed': {
        const { persona, conversation: id, message } = frame.data;
        if (id === null) {
          for (const { id: gone } of this.conversations.filter((c) => c.persona === persona))
            this.threads.delete(gone);
          this.personas = this.personas.filter((known) => known.id !== persona);
          this.conversations = this.conversations.filter((c) => c.persona !== persona);
        } else if (message === null) {
          this.threads.delete(id);
          this.conversations = this.conversations.filter((c) => c.id !== id);
        } else {
          this.threads.get(id)?.remove(message);
          if (this.conversation(id)?.last?.id === message) this.#refreshSoon();
        }
        break;
      }
      case 'persona': {
        const persona = frame.data;
        const place = this.personas.findIndex((known) => known.id === persona.id);
        this.personas =
          place >= 0 ? this.personas.with(place, persona) : [...this.personas, persona];
        break;
      }
      case 'settings':
        this.settings = frame.data;
        break;
      case 'lock':
        break; // the session looks at it
    }
  }

  /** A message by an event or as an answer. */
  addMessage(message: Message, announce = false): void {
    const thread = this.threads.get(message.conversation);
    const fresh = thread?.loaded ? thread.upsert(message) : !this.#seen.has(message.id);
    const conversation = this.conversation(message.conversation);
    if (!conversation) {
      this.#refreshSoon();
      return;
    }
    const newest = !conversation.last || conversation.last.created <= message.created || fresh;
    const counts = fresh && !message.outgoing && !this.#seen.has(message.id);
    this.change({
      ...conversation,
      unread: conversation.unread + (counts ? 1 : 0),
      last: newest ? message : conversation.last,
    });
    if (counts && announce) this.arrived = message;
    this.#seen.add(message.id);
  }

  change(conversation: Conversation): void {
    this.conversations = this.conversations.map((known) =>
      known.id === conversation.id ? conversation : known,
    );
  }

  #refreshSoon(): void {
    clearTimeout(this.#refreshing);
    this.#refreshing = setTimeout(() => {
      this.refreshConversations().catch(this.onError);
    }, 150);
  }
}

/** An answer to a message that is gone, without its words. */
function unquoted(message: Message): Message {
  const quote = message.reply_to;
  return { ...message, reply_to: quote && { ...quote, id: null, text: null } };
}

function recency(conversation: Conversation): number {
  if (conversation.state === 'blocked') return 0; // below everybody
  const time = conversation.last?.received ?? conversation.last?.created;
  return time ? Date.parse(time) : Number.MAX_SAFE_INTEGER; // a new one stands on top
}

/** What was read last, and what stood before it. */
export function merged(page: Message[], known: Message[], from: string | null): Message[] {
  if (from === null) return page;
  const ids = new Set(page.map((message) => message.id));
  const oldest = known.findIndex((message) => ids.has(message.id));
  return oldest > 0 ? [...known.slice(0, oldest), ...page] : page;
}
