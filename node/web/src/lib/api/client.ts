// The only module that calls the node.
//
//   call ──> fetch ──> 2xx: the value
//                 ├──> problem document: ApiError(status, its sentence)
//                 └──> nothing answers: Offline

import type {
  Contact,
  Conversation,
  Hop,
  Ignored,
  Invite,
  Link,
  Lock,
  Message,
  Persona,
  Problem,
  SearchHit,
  Settings,
  Status,
} from './types';

export const BASE = '/api/v1';

/** The node refused; `message` is its own sentence. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/** The node does not answer at all. */
export class Offline extends Error {
  constructor() {
    super('offline');
    this.name = 'Offline';
  }
}

export interface SendOptions {
  reply_to?: string | null;
  expires_after?: number | null;
}

export interface PersonaChange {
  name?: string | null;
  random?: boolean;
  momo?: boolean;
  avatar?: { picture: string } | { drawn: number[] } | null;
  receipts?: boolean;
}

export interface Attachment {
  bytes: Blob;
  name: string;
  type: string;
  picture: boolean; // shown in the chat, cleaned by the node
}

type Fetch = (path: string, init: RequestInit) => Promise<Response>;
type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

interface Call {
  json?: unknown;
  body?: Blob;
  type?: string;
  query?: Record<string, string | number | null | undefined>;
  key?: string; // Idempotency-Key
}

export class Api {
  constructor(
    readonly token: string,
    private readonly fetcher: Fetch = (path, init) => fetch(path, init),
    private readonly onRefused: (error: ApiError) => void = () => undefined,
  ) {}

  async response(method: Method, path: string, call: Call = {}): Promise<Response> {
    const headers: Record<string, string> = { Authorization: `Bearer ${this.token}` };
    const init: RequestInit = { method, headers, cache: 'no-store', credentials: 'omit' };
    if (call.body) {
      headers['Content-Type'] = call.type ?? 'application/octet-stream';
      init.body = call.body;
    } else if (method === 'POST' || method === 'PATCH') {
      headers['Content-Type'] = 'application/json';
      init.body = JSON.stringify(call.json ?? {});
    }
    if (call.key) headers['Idempotency-Key'] = call.key;
    let answer: Response;
    try {
      answer = await this.fetcher(BASE + path + queryOf(call.query), init);
    } catch {
      throw new Offline();
    }
    if (answer.ok) return answer;
    const error = new ApiError(answer.status, await sentence(answer));
    if (answer.status === 401 || answer.status === 423) this.onRefused(error);
    throw error;
  }

  async #value<T>(method: Method, path: string, call?: Call): Promise<T> {
    const answer = await this.response(method, path, call);
    try {
      return (await answer.json()) as T;
    } catch {
      throw new Offline();
    }
  }

  async #done(method: Method, path: string, call?: Call): Promise<void> {
    await this.response(method, path, call);
  }

  async #blob(method: Method, path: string, call?: Call): Promise<Blob> {
    const answer = await this.response(method, path, call);
    try {
      return await answer.blob();
    } catch {
      throw new Offline();
    }
  }

  // The node

  redeem = (ticket: string) => this.#value<{ token: string }>('POST', '/ticket', { json: { ticket } });
  status = () => this.#value<Status>('GET', '/status');
  path = () => this.#value<Hop[]>('GET', '/path');
  lockState = () => this.#value<Lock>('GET', '/lock');
  unlock = (passphrase: string | null) =>
    this.#value<Lock>('POST', '/unlock', { json: { passphrase } });
  lock = () => this.#value<Lock>('POST', '/lock');
  changePassphrase = (old: string | null, fresh: string | null) =>
    this.#value<Lock>('POST', '/passphrase', { json: { old, new: fresh } });
  panic = () => this.#done('POST', '/panic', { json: { confirm: 'erase' } });
  settings = () => this.#value<Settings>('GET', '/settings');
  changeSettings = (change: Partial<Settings>) =>
    this.#value<Settings>('PATCH', '/settings', { json: change });
  backup = (passphrase: string) => this.#blob('POST', '/backup', { json: { passphrase } });
  linkability = () => this.#value<Link[]>('GET', '/linkability');

  // Personas

  personas = () => this.#value<Persona[]>('GET', '/personas');
  createPersona = (persona: { name?: string; ephemeral?: boolean; random?: boolean }) =>
    this.#value<Persona>('POST', '/personas', { json: persona });
  changePersona = (id: string, change: PersonaChange) =>
    this.#value<Persona>('PATCH', `/personas/${id}`, { json: change });
  burnPersona = (id: string) => this.#done('DELETE', `/personas/${id}`);

  invites = (persona: string) => this.#value<Invite[]>('GET', `/personas/${persona}/invites`);
  createInvite = (persona: string) =>
    this.#value<Invite>('POST', `/personas/${persona}/invites`);
  deleteInvite = (persona: string, invite: string) =>
    this.#done('DELETE', `/personas/${persona}/invites/${invite}`);

  // Contacts

  addContact = (persona: string, who: { invite: string } | { pseudonym: string }) =>
    this.#value<Contact>('POST', `/personas/${persona}/contacts`, { json: who });
  changeContact = (
    contact: Contact,
    change: { alias?: string | null; verified?: boolean },
  ) =>
    this.#value<Contact>('PATCH', `/personas/${contact.persona}/contacts/${contact.id}`, {
      json: change,
    });
  decide = (contact: Contact, what: 'accept' | 'ignore' | 'block' | 'unblock') =>
    this.#done('POST', `/personas/${contact.persona}/contacts/${contact.id}/${what}`);

  ignored = (persona: string) => this.#value<Ignored[]>('GET', `/personas/${persona}/ignored`);
  heed = (persona: string, pseudonym: string) =>
    this.#done('DELETE', `/personas/${persona}/ignored/${pseudonym}`);

  // Conversations

  conversations = () => this.#value<Conversation[]>('GET', '/conversations');
  changeConversation = (id: string, change: { expires_after: number | null }) =>
    this.#value<Conversation>('PATCH', `/conversations/${id}`, { json: change });
  deleteConversation = (id: string) => this.#done('DELETE', `/conversations/${id}`);
  messages = (id: string, before: string | null, limit: number) =>
    this.#value<Message[]>('GET', `/conversations/${id}/messages`, { query: { before, limit } });
  send = (id: string, text: string, options: SendOptions, key: string) =>
    this.#value<Message>('POST', `/conversations/${id}/messages`, {
      json: { text, ...present(options), expires_after: options.expires_after ?? null },
      key,
    });
  attach = (id: string, text: string, file: Attachment, options: SendOptions, key: string) =>
    file.picture
      ? this.#value<Message>('POST', `/conversations/${id}/pictures`, {
          body: file.bytes,
          type: file.type,
          query: { text: text || null, ...present(options) },
          key,
        })
      : this.#value<Message>('POST', `/conversations/${id}/files`, {
          body: file.bytes,
          query: {
            name: file.name,
            media_type: file.type || null,
            text: text || null,
            ...present(options),
          },
          key,
        });
  markRead = (id: string, message: string) =>
    this.#done('POST', `/conversations/${id}/read`, { json: { message } });
  deleteMessage = (id: string, message: string) =>
    this.#done('DELETE', `/conversations/${id}/messages/${message}`);
  file = (id: string, message: string) =>
    this.#blob('GET', `/conversations/${id}/messages/${message}/file`);
  picture = (id: string, message: string) =>
    this.#blob('GET', `/conversations/${id}/messages/${message}/picture`);
  exportConversation = (id: string, format: 'json' | 'text') =>
    this.#blob('GET', `/conversations/${id}/export`, { query: { format } });
  search = (q: string, persona: string | null, limit: number) =>
    this.#value<SearchHit[]>('GET', '/search', { query: { q, persona, limit } });
}

export function queryOf(query: Call['query']): string {
  const pairs = Object.entries(query ?? {}).filter(
    (pair): pair is [string, string | number] => pair[1] !== null && pair[1] !== undefined,
  );
  if (pairs.length === 0) return '';
  return '?' + new URLSearchParams(pairs.map(([k, v]) => [k, String(v)])).toString();
}

function present(options: SendOptions): { reply_to?: string; expires_after?: number } {
  return {
    ...(options.reply_to ? { reply_to: options.reply_to } : {}),
    ...(options.expires_after ? { expires_after: options.expires_after } : {}),
  };
}

async function sentence(answer: Response): Promise<string> {
  try {
    const problem = (await answer.json()) as Partial<Problem>;
    if (typeof problem.detail === 'string' && problem.detail) return problem.detail;
    if (typeof problem.title === 'string' && problem.title) return problem.title;
  } catch {
    // no problem document: the status line is all there is
  }
  return `${answer.status} ${answer.statusText}`.trim();
}
