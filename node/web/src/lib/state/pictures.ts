// Pictures of messages as addresses that an <img> can show, the last ones kept in memory.

import type { Api } from '../api/client';

const KEPT = 48;

class Pictures {
  #urls = new Map<string, Promise<string>>();

  get(api: Api, conversation: string, message: string): Promise<string> {
    const known = this.#urls.get(message);
    if (known) return known;
    const url = api.picture(conversation, message).then((blob) => URL.createObjectURL(blob));
    this.#urls.set(message, url);
    url.catch(() => this.#urls.delete(message));
    if (this.#urls.size > KEPT) {
      const oldest = this.#urls.keys().next().value;
      if (oldest !== undefined) this.drop(oldest);
    }
    return url;
  }

  drop(message: string): void {
    const url = this.#urls.get(message);
    this.#urls.delete(message);
    void url?.then(
      (address) => URL.revokeObjectURL(address),
      () => undefined,
    );
  }

  forget(): void {
    for (const message of [...this.#urls.keys()]) this.drop(message);
  }
}

export const pictures = new Pictures();
