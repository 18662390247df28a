// `npm run dev` answers from the mock; with TERRACE_URL set it forwards `/api` to a running edge instead.
import { site } from '@terrace/site/vite';
import { defineConfig } from 'vite';
import { mock } from './mock/backend.ts';

export default defineConfig(site({ mock: mock() }));
