// A second look at the finished scripts: what one minifier leaves, another takes.

import { minify } from 'terser';
import type { Plugin } from 'vite';

export function smaller(): Plugin {
  return {
    name: 'shoal-smaller',
    apply: 'build',
    enforce: 'post',
    async generateBundle(_, bundle) {
      for (const part of Object.values(bundle)) {
        if (part.type !== 'chunk') continue;
        const { code } = await minify(part.code, {
          module: true,
          ecma: 2020,
          compress: { passes: 3, keep_fargs: false, unsafe_arrows: true },
        });
        if (code) part.code = code;
      }
    },
  };
}
