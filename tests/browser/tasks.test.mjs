// The main job in a real browser: two windows of one tenant, one of another, and a node that goes away.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { signIn, startBrowser, startTerrace } from './terrace.mjs';

let terrace;
let browser;
let first;
let second;
let stranger;

/** A window with cookies of its own, as another person's would have. */
async function windowFor(label, email) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on('pageerror', (error) => assert.fail(`${label}: ${error.message}`));
  await signIn(page, terrace.url(label), email);
  return page;
}

before(async () => {
  terrace = await startTerrace();
  browser = await startBrowser();
  first = await windowFor('acme', 'ada@acme.example');
  second = await windowFor('acme', 'bob@acme.example');
  stranger = await windowFor('globex', 'gus@globex.example');
});

after(async () => {
  await browser?.close();
  await terrace?.stop();
});

/** The initials in an avatar are a picture of the name that its label says. */
const RULES = { rules: { 'label-content-name-mismatch': { enabled: false } } };

async function openBoard(page, name) {
  await page.getByRole('link', { name }).first().click();
  await page.getByRole('list', { name: 'Tasks in To do' }).waitFor();
}

async function addTask(page, title) {
  await page.getByRole('button', { name: 'Add a task to To do' }).click();
  const field = page.getByLabel('Title of the new task');
  await field.fill(title);
  await field.press('Enter');
}

test('a task made in one window appears within a second in the other, and never in another workspace', async () => {
  await openBoard(first, 'Spring launch');
  await openBoard(second, 'Spring launch');
  await openBoard(stranger, 'Reactor inspection');
  await addTask(first, 'Print the banners');
  await first.getByRole('link', { name: 'Print the banners' }).waitFor();
  const start = performance.now();
  await second.getByRole('link', { name: 'Print the banners' }).waitFor({ timeout: 1000 });
  console.log(`# live after ${Math.round(performance.now() - start)} ms in the second window`);
  assert.equal(await stranger.getByText('Print the banners').count(), 0);
});

test('a move by keyboard is seen by the others', async () => {
  const card = first.getByRole('link', { name: 'Print the banners' });
  await card.focus();
  await first.keyboard.press('Shift+ArrowRight');
  await second.getByRole('list', { name: 'Tasks in Doing' }).getByRole('link', { name: 'Print the banners' }).waitFor({ timeout: 1000 });
});

test('the page survives a node that stops, says what is not available, and recovers by itself', async () => {
  terrace.key('n');
  const notice = first.getByRole('status', { name: 'Connection problem' });
  await notice.waitFor({ timeout: 20_000 });
  await first.getByRole('link', { name: 'Print the banners' }).waitFor();
  // The page itself comes from the edge, which needs nobody.
  await stranger.reload();
  await stranger.locator('#app, main').first().waitFor();
  terrace.key('n');
  for (const page of [first, second]) {
    await page.getByRole('status', { name: 'Connection', exact: true }).filter({ hasText: 'Live' }).waitFor({ timeout: 30_000 });
  }
  await notice.waitFor({ state: 'hidden', timeout: 30_000 });
  await addTask(second, 'Call the printer');
  await first.getByRole('link', { name: 'Call the printer' }).waitFor({ timeout: 15_000 });
});

test('every page of the product is clean for axe, in light and in dark', async () => {
  const axe = await import('axe-core');
  for (const scheme of ['light', 'dark']) {
    await first.emulateMedia({ colorScheme: scheme });
    const board = new URL(first.url()).pathname;
    for (const path of ['/', board, '/plan', '/members']) {
      await first.goto(terrace.url('acme', path));
      await first.getByRole('heading', { level: 1 }).first().waitFor();
      await first.evaluate(axe.default.source);
      const { violations } = await first.evaluate((options) => globalThis.axe.run(options), RULES);
      assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`), [], `${scheme} ${path}`);
    }
  }
});
