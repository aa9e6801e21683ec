// What is not needed to read and write is fetched when the page is at rest, or first wanted.

let fetched: Promise<typeof import('../views/more')> | undefined;

export function more(): Promise<typeof import('../views/more')> {
  return (fetched ??= import('../views/more').catch((error: unknown) => {
    fetched = undefined; // the node was away: ask again
    throw error;
  }));
}
