// The values of the local API, as /api/v1/openapi.json describes them. Times are RFC 3339.

export type Time = string;
export type MessageState = 'queued' | 'stored' | 'fetched' | 'read' | 'failed';
export type FileState = 'waiting' | 'sending' | 'fetching' | 'whole' | 'failed';
export type ContactState = 'requested' | 'request' | 'accepted' | 'blocked';
export type HopRole = 'guard' | 'mix' | 'service';
export type LockState = 'open' | 'locked' | 'empty';
export type Preset = 'saver' | 'balanced' | 'fast';
export type ThemeChoice = 'auto' | 'light' | 'dark';
export type LanguageChoice = 'auto' | 'en' | 'zh';

export interface Avatar {
  kind: 'drawn' | 'picture';
  drawn: number[] | null; // shape, color, pattern, mood
  picture: string | null; // data:image/webp;base64,…
}

/** What a persona or contact looks like; all of it absent means momo. */
export interface Profile {
  name: string | null;
  drawn_name: number[] | null; // adjective, noun
  avatar: Avatar | null;
}

export interface Persona extends Profile {
  id: string;
  pseudonym: string;
  created: Time;
  expires: Time | null;
  ephemeral: boolean;
  receipts: boolean;
}

export interface Contact extends Profile {
  id: string;
  persona: string;
  conversation: string;
  pseudonym: string;
  state: ContactState;
  safety_code: string | null;
  alias: string | null;
  verified: boolean;
  tag: string; // four letters, or none
  invited: boolean;
  price_bits: number | null;
  withheld: boolean; // a request without a word: what they wrote comes once it is accepted
  lookalikes: string[];
  poses_as?: 'me' | 'momo' | null; // whom the words of its own name pass for
}

export interface FileInfo {
  name: string;
  size: number;
  media_type: string;
  state: FileState;
  done: number;
  total: number;
  picture: boolean;
}

export interface Quote {
  id: string | null;
  outgoing: boolean;
  text: string | null;
}

export interface Message {
  id: string;
  conversation: string;
  persona: string;
  from: string;
  outgoing: boolean;
  text: string;
  status: MessageState;
  request: boolean;
  created: Time;
  received: Time | null;
  file: FileInfo | null;
  reply_to: Quote | null;
  expires_after: number | null; // seconds
  expires: Time | null;
}

export interface Conversation {
  id: string;
  persona: string;
  contact: string;
  pseudonym: string;
  state: ContactState;
  unread: number;
  peer: Contact;
  last: Message | null;
  expires_after: number | null;
}

/** A stranger who was ignored: a pseudonym, and when that ends. */
export interface Ignored {
  pseudonym: string;
  until: string;
}

export interface Invite {
  id: string;
  code: string;
  link: string;
  qr_svg: string;
  expires: Time;
  used: boolean;
}

export interface Latency {
  p50: number;
  p95: number;
}

export interface Traffic {
  preset: string;
  packets_per_s: number;
  mean_delay_ms: number;
  quick_share: number;
  waiting_gets: number;
  up_kb_per_s: number;
  down_kb_per_s: number;
  gb_per_day: number;
  link_ms: number;
  latency_ms: Latency;
}

export interface Status {
  ready: boolean;
  packet_bytes: number;
  role: 'person' | 'relay';
  peer_id: string;
  addrs: string[];
  reachable: boolean;
  relays: number;
  dht_peers: number;
  crowd: number | null;
  preset: string | null;
  queue: number;
  version: string;
  network: string;
  entropy_bits: number | null;
  expected_latency_ms: Latency | null;
  traffic: Traffic | null;
  warnings: string[];
  warning_codes: string[];
}

export interface Hop {
  position: number;
  role: HopRole;
  relay: string;
  address: string;
  delay_ms: number;
}

export interface Link {
  code: string;
  personas: string[];
  detail: string | null;
}

export interface SearchHit {
  message: Message;
  spans: [number, number][]; // in code points
}

export interface Settings {
  preset: Preset;
  receipts_default: boolean | null; // null: locked, not known
  fresh_persona: boolean | null;
  persona_slots: number | null;
  language: LanguageChoice;
  theme: ThemeChoice;
}

export interface Lock {
  state: LockState;
  passphrase: boolean;
}

export interface MessageStatus {
  id: string;
  conversation: string;
  persona: string;
  status: MessageState;
  file: FileInfo | null;
}

export interface NetworkState {
  ready: boolean;
  relays: number;
  queue: number;
}

/** A message is gone, or with null a conversation, or with two the persona. */
export interface Removed {
  persona: string;
  conversation: string | null;
  message: string | null;
}

export interface Problem {
  status: number;
  title: string;
  detail: string;
}

/** One frame of the WebSocket. */
export type Frame = { seq: number } & (
  | { type: 'message'; data: Message }
  | { type: 'status'; data: MessageStatus }
  | { type: 'contact'; data: Contact }
  | { type: 'network'; data: NetworkState }
  | { type: 'removed'; data: Removed }
  | { type: 'persona'; data: Persona }
  | { type: 'lock'; data: Lock }
  | { type: 'settings'; data: Settings }
);
