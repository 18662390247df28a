// A whole Terrace for a browser test: `terrace-up` on free ports, with the bundles that xtask built.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

import { chromium } from 'playwright-core';

const target = process.env.CARGO_TARGET_DIR ?? resolve(import.meta.dirname, '../../target');

/** A port that was free a moment ago. */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Starts everything; `key` types what a person would type into `cargo dev`. */
export async function startTerrace() {
  const folder = await mkdtemp(join(tmpdir(), 'terrace-browser-'));
  // The database may run as another user, who must be able to reach its folder.
  await chmod(folder, 0o755);
  const port = await freePort();
  const flags = ['--demo', '--exit-with-parent', '--data-dir', folder, '--port', port, '--node-port', await freePort()];
  const bundles = ['--services', join(target, 'terrace/services'), '--sites', join(target, 'terrace/sites')];
  const up = spawn(join(target, 'debug/terrace-up'), [...flags, ...bundles].map(String), { stdio: ['pipe', 'pipe', 'pipe'] });
  const log = createWriteStream(join(folder, 'up.log'));
  up.stderr.pipe(log);
  let ready = false;
  for await (const line of createInterface({ input: up.stdout })) {
    if (line.startsWith('Terrace is up')) {
      ready = true;
      break;
    }
  }
  if (!ready) throw new Error(`terrace-up did not start:\n${await readFile(join(folder, 'up.log'), 'utf8')}`);
  up.stdout.resume();
  return {
    url: (label, path = '/') => `http://${label}.localhost:${port}${path}`,
    key: (key) => up.stdin.write(`${key}\n`),
    log: (name) => readFile(join(folder, name), 'utf8'),
    async stop() {
      up.stdin.end();
      if (up.exitCode === null) await once(up, 'exit');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What is uploaded to deploy a service that xtask built, with another manifest if that is changed. */
export async function bundle(service, change = (manifest) => manifest) {
  const folder = join(target, 'terrace/services', service);
  const text = (name) => readFile(join(folder, name), 'utf8');
  const names = (await readdir(join(folder, 'migrations'))).sort();
  return {
    manifest: change(await text('service.toml')),
    contract: JSON.parse(await text('openapi.json')),
    migrations: await Promise.all(names.map(async (name) => ({ name, sql: await text(`migrations/${name}`) }))),
    component: (await readFile(join(folder, 'service.wasm'))).toString('base64'),
  };
}

/** Debian's Chromium, quiet on a closed network. */
export function startBrowser() {
  const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', '--disable-quic'];
  // The sandbox of Chromium cannot be had by root, which CI is.
  const root = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: [...quiet, ...root] });
}

export const PASSWORD = 'terrace-demo-2026';

/** Signs in by the form, as a person would. */
export async function signIn(page, url, email) {
  await page.goto(url);
  await page.getByLabel('Email').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
}
