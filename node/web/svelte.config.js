import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

const scopes = [];

export default {
  preprocess: vitePreprocess(),
  compilerOptions: {
    runes: true,
    discloseVersion: false,
    // The shortest names of scopes: they stand at every rule and every element. Classes of the
    // page's own begin with a small letter.
    cssHash: ({ filename }) => {
      if (!scopes.includes(filename)) scopes.push(filename);
      return `A${scopes.indexOf(filename).toString(36)}`;
    },
  },
};
