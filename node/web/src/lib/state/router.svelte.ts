// Where the reader is. The address never changes, so that no name of a conversation gets into
// the browser's history; the entry's state makes the browser's back button work.

export type Route =
  | { view: 'home' }
  | { view: 'chat'; id: string; message?: string }
  | { view: 'requests' }
  | { view: 'new' }
  | { view: 'personas' }
  | { view: 'linkability' }
  | { view: 'network' }
  | { view: 'settings' };

export type View = Route['view'];

interface Entry {
  route: Route;
  depth: number;
}

class Router {
  route = $state.raw<Route>({ view: 'home' });
  #depth = 0;

  start(): void {
    const entry = history.state as Entry | null;
    if (entry?.route) {
      this.route = entry.route;
      this.#depth = entry.depth;
    } else this.#write('replace');
    addEventListener('popstate', (event) => {
      const state = event.state as Entry | null;
      this.route = state?.route ?? { view: 'home' };
      this.#depth = state?.depth ?? 0;
    });
  }

  go(route: Route): void {
    const same =
      route.view === this.route.view &&
      (route.view !== 'chat' || (this.route.view === 'chat' && route.id === this.route.id));
    this.route = route;
    if (!same) this.#depth += 1;
    this.#write(same ? 'replace' : 'push');
  }

  /** The place before, or the list. */
  back(): void {
    if (this.#depth > 0) history.back();
    else this.replace({ view: 'home' });
  }

  replace(route: Route): void {
    this.route = route;
    this.#write('replace');
  }

  #write(how: 'push' | 'replace'): void {
    const entry: Entry = { route: this.route, depth: this.#depth };
    if (how === 'push') history.pushState(entry, '', '/');
    else history.replaceState(entry, '', '/');
  }
}

export const router = new Router();
