// @ts-check
// What a site's vite.config.ts uses: Svelte, the theme bootstrap, the font preload, and budget-minded build options.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { svelte } from '@sveltejs/vite-plugin-svelte';

const bootstrap = readFileSync(new URL('./src/theme-bootstrap.js', import.meta.url), 'utf8');
const bootstrapFile = `assets/theme-${createHash('sha256').update(bootstrap).digest('hex').slice(0, 8)}.js`;

/**
 * Puts the theme bootstrap before everything else as a hashed classic script (a module would run after the first
 * paint), and preloads the typeface so that `font-display: optional` has it in time.
 * @returns {import('vite').Plugin}
 */
function firstPaint() {
  return {
    name: 'terrace:first-paint',
    configureServer(server) {
      server.middlewares.use(`/${bootstrapFile}`, (_request, response) => {
        response.setHeader('content-type', 'text/javascript; charset=utf-8').end(bootstrap);
      });
    },
    generateBundle() {
      this.emitFile({ type: 'asset', fileName: bootstrapFile, source: bootstrap });
    },
    transformIndexHtml: {
      order: 'post',
      handler(_html, context) {
        /** @type {import('vite').HtmlTagDescriptor[]} */
        const tags = [{ tag: 'script', attrs: { src: `/${bootstrapFile}` }, injectTo: 'head' }];
        const font = Object.keys(context.bundle ?? {}).find((file) => file.endsWith('.woff2'));
        if (font) {
          const attrs = { rel: 'preload', as: 'font', type: 'font/woff2', href: `/${font}`, crossorigin: true };
          tags.push({ tag: 'link', attrs, injectTo: 'head' });
        }
        return tags;
      },
    },
  };
}

/**
 * The Vite configuration of a site. One script and one stylesheet: a tab that is open never asks for a chunk later,
 * so it keeps working whatever happens behind it.
 * @param {{mock?: import('vite').Plugin}} [options] `mock` answers `/api` in development when no `TERRACE_URL` is set.
 * @returns {import('vite').UserConfig}
 */
export function site({ mock } = {}) {
  const backend = process.env.TERRACE_URL;
  return {
    plugins: [svelte({ compilerOptions: { runes: true } }), firstPaint(), ...(mock && !backend ? [mock] : [])],
    server: backend ? { proxy: { '/api': { target: backend } } } : {},
    build: {
      target: 'es2022',
      modulePreload: { polyfill: false },
      assetsInlineLimit: 0,
      reportCompressedSize: false,
    },
  };
}
