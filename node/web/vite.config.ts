// The page is served by the node itself, from its package: everything is a file of its own
// origin, and nothing stands inside the document (the policy allows neither scripts nor styles there).
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';
import { client } from './plugins/client';
import { smaller } from './plugins/smaller';
import { words } from './plugins/words';

export default defineConfig({
  plugins: [words(), client(), svelte(), smaller()],
  build: {
    outDir: '../shoal_node/page',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    cssCodeSplit: false,
    target: 'es2022',
    reportCompressedSize: true,
  },
  server: { fs: { allow: ['.', '../shoal_node/names.json'] } },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
});
