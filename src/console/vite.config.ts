/**
 * Bundles the web console into dist/console. Everything leaves as a file of its own (no inlined assets), so that the
 * page runs under the strict Content-Security-Policy of `assets.ts`.
 */

import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

export default defineConfig({
  root: fileURLToPath(new URL('./web', import.meta.url)),
  /** Relative addresses: the page works below any path of the gateway. */
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: fileURLToPath(new URL('../../dist/console', import.meta.url)),
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
  },
});
