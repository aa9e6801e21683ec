// What the build asks of Svelte's runtime beyond its documented parts (lib/i18n/template.ts).

declare module 'svelte/internal/client' {
  export function from_html(html: string, flags?: number): () => Node;
}
