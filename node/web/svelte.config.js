import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

export default {
  preprocess: vitePreprocess(),
  compilerOptions: {
    runes: true,
    // Short names of scopes: they stand at every rule and every element.
    cssHash: ({ hash, css }) => `s${hash(css).slice(0, 4)}`,
  },
};
