// The page's one session with its node.
//
//   ticket? ──POST /ticket──> token
//   token? ──no──> keyless
//     │ GET /lock
//     ├── no answer ──> unreachable ──again──┐
//     ├── locked, empty ──POST /unlock──> open
//     └── open ── events, then everything ──> the views ──POST /panic──> erased
//
// Whatever is answered by 401 or 423 later leads back here. What was shown is forgotten as soon
// as the store is locked.

import { Api, ApiError, Offline } from '../api/client';
import { EventStream, webSocket, type StreamState } from '../api/events';
import type { Frame, Lock, LockState, Settings } from '../api/types';
import { setLanguage } from '../i18n/index.svelte';
import { drafts } from './drafts';
import { Outbox } from './outbox.svelte';
import { pictures } from './pictures';
import { router } from './router.svelte';
import { Store } from './store.svelte';
import { notices } from './ui.svelte';

export type Phase = 'starting' | 'keyless' | 'unreachable' | 'locked' | 'empty' | 'open' | 'erased';

const POLL = 2500; // ms between looks at a node that is away or locked
const TOKEN = 'token';
const TICKET = /^#ticket=(.+)$/;

class Session {
  phase = $state.raw<Phase>('starting');
  passphrase = $state.raw(false); // the store has one
  stream = $state.raw<StreamState>('connecting');
  #token = '';
  #calls: Api | null = null;
  #events: EventStream | null = null;
  #early: Frame[] | null = null; // frames that came while everything is read
  #timer: ReturnType<typeof setTimeout> | undefined;

  readonly store = new Store(
    () => this.api,
    (error) => this.#failed(error),
  );
  readonly outbox = new Outbox(
    () => this.api,
    (message) => this.store.addMessage(message),
  );

  get api(): Api {
    if (!this.#calls) throw new Offline();
    return this.#calls;
  }

  get online(): boolean {
    return this.stream === 'live';
  }

  start(): void {
    // A new link in an open tab is the same document: a node prefers the port that it had.
    addEventListener('hashchange', () => {
      if (TICKET.test(location.hash)) location.reload();
    });
    const ticket = takeTicket();
    if (!ticket) {
      this.#begin();
      return;
    }
    void new Api('')
      .redeem(ticket)
      .then(({ token }) => sessionStorage.setItem(TOKEN, token))
      .catch(() => undefined) // it was used before: as without a token, or with that of this tab
      .then(() => this.#begin());
  }

  #begin(): void {
    this.#token = takeToken();
    if (!this.#token) {
      this.phase = 'keyless';
      return;
    }
    this.#calls = new Api(this.#token, undefined, (error) => this.#refused(error));
    addEventListener('online', () => this.#events?.hurry());
    addEventListener('beforeunload', (event) => {
      if (!this.outbox.empty) event.preventDefault();
    });
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.#events?.hurry();
    });
    void this.#look();
  }

  hurry(): void {
    this.#events?.hurry();
  }

  /** Ask for the lock's state, and go where it leads. */
  async #look(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      const [settings, lock] = await Promise.all([
        this.phase === 'starting' ? this.api.settings().catch(() => null) : null,
        this.api.lockState(),
      ]);
      this.applySettings(settings);
      this.#enter(lock);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return;
      if (this.phase !== 'open' && this.phase !== 'erased') this.phase = 'unreachable';
    }
    if (this.phase !== 'open' && this.phase !== 'erased') this.#timer = setTimeout(() => void this.#look(), POLL);
  }

  #enter(lock: Lock): void {
    this.passphrase = lock.passphrase;
    this.#turn(lock.state);
  }

  #turn(state: LockState): void {
    if (this.phase === 'erased') return;
    if (state === 'open') {
      if (this.phase === 'open') return;
      this.phase = 'open';
      this.#follow();
    } else {
      if (this.phase === 'open' || this.phase === 'starting') this.#shut();
      this.phase = state;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => void this.#look(), POLL);
    }
  }

  #follow(): void {
    this.#events = new EventStream({
      open: (since) => webSocket(this.#token, since),
      onState: (state) => (this.stream = state),
      onFresh: () => void this.#readAll(),
      onFrame: (frame) => this.#arrive(frame),
      answers: async () => {
        try {
          const lock = await this.api.lockState();
          this.#enter(lock);
          return lock.state === 'open';
        } catch {
          return false;
        }
      },
    });
    this.#events.start();
  }

  async #readAll(): Promise<void> {
    const early: Frame[] = [];
    this.#early = early;
    try {
      await this.store.load();
      this.applySettings(this.store.settings);
      this.outbox.resume();
    } catch (error) {
      if (this.#early === early) {
        this.#early = null;
        if (error instanceof Offline || (error instanceof ApiError && error.status >= 500)) {
          setTimeout(() => this.phase === 'open' && void this.#readAll(), POLL);
        } else this.#failed(error);
      }
      return;
    }
    if (this.#early !== early) return;
    this.#early = null;
    for (const frame of early) this.#arrive(frame);
  }

  #arrive(frame: Frame): void {
    if (frame.type === 'lock') {
      this.#enter(frame.data);
      return;
    }
    if (this.#early) {
      this.#early.push(frame);
      return;
    }
    if (frame.type === 'network') this.outbox.resume();
    if (frame.type === 'message' && frame.data.outgoing) this.outbox.met(frame.data);
    if (frame.type === 'removed' && frame.data.message) pictures.drop(frame.data.message);
    this.store.apply(frame);
    if (frame.type === 'settings') this.applySettings(frame.data);
  }

  applySettings(settings: Settings | null): void {
    if (!settings) return;
    void setLanguage(settings.language, navigator.languages);
    setTheme(settings.theme);
  }

  async unlock(passphrase: string | null): Promise<void> {
    this.#enter(await this.api.unlock(passphrase));
  }

  async lock(): Promise<void> {
    this.#enter(await this.api.lock());
  }

  async changePassphrase(old: string | null, fresh: string | null): Promise<void> {
    this.#enter(await this.api.changePassphrase(old, fresh));
  }

  async panic(): Promise<void> {
    await this.api.panic();
    this.#shut();
    clearTimeout(this.#timer);
    this.phase = 'erased'; // the node ends: nobody is asked any more
  }

  #refused(error: ApiError): void {
    if (error.status === 401) {
      this.#shut();
      clearTimeout(this.#timer);
      sessionStorage.removeItem(TOKEN);
      this.phase = 'keyless';
    } else if (this.phase === 'open') {
      this.#shut();
      this.phase = 'locked';
      void this.#look();
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof Offline)) notices.fail(error);
  }

  /** Forget what was shown. */
  #shut(): void {
    this.#events?.stop();
    this.#events = null;
    this.#early = null;
    this.store.forget();
    pictures.forget();
    this.outbox.forget();
    drafts.forget();
    router.replace({ view: 'home' });
  }
}

/** A one-time ticket for the token out of the address, which is cleaned at once. */
function takeTicket(): string {
  const [, ticket = ''] = TICKET.exec(location.hash) ?? [];
  if (ticket) history.replaceState(history.state, '', '/');
  return ticket;
}

/** From the address, which is cleaned at once, or from before a reload. */
function takeToken(): string {
  const fragment = location.hash.replace(/^#(t=)?/, '');
  if (fragment) {
    sessionStorage.setItem(TOKEN, fragment);
    history.replaceState(history.state, '', '/');
  }
  return sessionStorage.getItem(TOKEN) ?? '';
}

const dark = matchMedia('(prefers-color-scheme: dark)');
let theme: Settings['theme'] = 'auto';

export function setTheme(choice: Settings['theme']): void {
  theme = choice;
  const shown = choice === 'auto' ? (dark.matches ? 'dark' : 'light') : choice;
  document.documentElement.dataset['theme'] = shown;
}

dark.addEventListener('change', () => setTheme(theme));

export const session = new Session();
