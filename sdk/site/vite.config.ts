// Only for the unit tests: runes in `.svelte.ts` files need Svelte's compiler.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

export default defineConfig({ plugins: [svelte()], resolve: { conditions: ['browser'] } });
