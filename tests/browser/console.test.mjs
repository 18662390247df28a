// The operators' site in a real browser: tenants, where their data lives, services, and live figures.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { bundle, signIn, startBrowser, startTerrace } from './terrace.mjs';

let terrace;
let browser;
let page;

before(async () => {
  terrace = await startTerrace();
  browser = await startBrowser();
  page = await (await browser.newContext()).newPage();
  await signIn(page, terrace.url('console'), 'operator@terrace.example');
});

after(async () => {
  await browser?.close();
  await terrace?.stop();
});

test('the console shows both tenants and where their data lives', async () => {
  await page.getByRole('link', { name: 'Tenants' }).first().click();
  for (const name of ['Acme', 'Globex']) await page.getByRole('link', { name }).first().waitFor();
  await page.getByRole('link', { name: 'Acme' }).first().click();
  await page.getByText(/l_[a-z0-9]{6}/).first().waitFor();
  await page.getByText(/t_[a-z0-9]{8}_tasks/).first().waitFor();
});

test('an operator creates a tenant, its owner signs in, and the operator deletes it', async () => {
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Tenants' }).click();
  await page.getByRole('button', { name: 'New tenant' }).click();
  await page.getByLabel('Name', { exact: true }).fill('Initech');
  await page.getByLabel('Slug').fill('initech');
  await page.getByLabel('Name of the owner').fill('Bill Lumbergh');
  await page.getByLabel('Email of the owner').fill('bill@initech.example');
  await page.getByLabel('Password (optional)').fill('a long password for bill');
  await page.getByRole('button', { name: 'Create tenant' }).click();
  await page.getByRole('heading', { name: 'Initech is ready' }).waitFor();
  await page.getByRole('button', { name: 'Done' }).click();

  const owner = await (await browser.newContext()).newPage();
  await owner.goto(terrace.url('initech'));
  await owner.getByLabel('Email').fill('bill@initech.example');
  await owner.getByLabel('Password').fill('a long password for bill');
  await owner.getByRole('button', { name: 'Sign in' }).click();
  await owner.getByRole('button', { name: 'Account of Bill Lumbergh' }).waitFor();

  await page.getByRole('table', { name: 'Tenants' }).getByRole('link', { name: 'Initech' }).click();
  await page.getByRole('button', { name: 'Delete tenant…' }).click();
  await page.getByLabel('Type initech to confirm').fill('initech');
  await page.getByRole('button', { name: 'Delete tenant', exact: true }).click();
  await page.getByRole('table', { name: 'Tenants' }).waitFor();
  await page.getByRole('link', { name: 'Initech' }).waitFor({ state: 'detached' });
  const answer = await owner.evaluate(async () => (await (await fetch('/api/tasks/boards')).json()).code);
  assert.equal(answer, 'unknown-host');
});

test('a release shows where it comes from, and what it newly asks for is seen before one goes back', async () => {
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Services' }).click();
  for (const name of ['Identity', 'Tasks', 'Billing']) await page.getByRole('link', { name, exact: true }).waitFor();
  await page.getByText(/r_[a-z0-9]{10}/).first().waitFor();

  const next = await bundle('tasks', (manifest) => manifest.replace('"clock"', '"clock", "random"'));
  const deployed = await page.evaluate(async (body) => {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch('/api/control/services/tasks/releases', { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: answer.status, body: await answer.json() };
  }, { ...next, allow_new_asks: true });
  assert.equal(deployed.status, 201, JSON.stringify(deployed.body));

  await page.reload();
  await page.getByRole('link', { name: 'Tasks', exact: true }).click();
  const releases = page.getByRole('table', { name: 'Releases of Tasks' });
  const current = releases.getByRole('row', { name: 'Current' });
  await current.getByText(deployed.body.id).waitFor();
  assert.equal(await releases.getByRole('row').count(), 3, 'a head and two releases');
  await current.getByRole('button', { name: `Show ${deployed.body.id}` }).click();
  const sheet = page.getByRole('dialog', { name: `Release ${deployed.body.id}` });
  await sheet.getByText('by operator@terrace.example').waitFor();
  await sheet.getByText(deployed.body.sha256.slice(0, 16)).waitFor();
  await sheet.getByText('terrace:', { exact: false }).first().waitFor();
  await page.keyboard.press('Escape');

  await page.getByRole('button', { name: 'Roll back…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Roll back Tasks?' });
  await dialog.getByText('Asks no more for capability random').waitFor();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await current.getByText(deployed.body.id).waitFor();
  await page.getByRole('button', { name: 'Roll back…' }).click();
  await dialog.getByRole('button', { name: 'Roll back' }).click();
  await dialog.waitFor({ state: 'detached' });
  await current.getByText(deployed.body.id).waitFor({ state: 'detached' });
  await page.getByRole('region', { name: 'History' }).getByText('gone back to').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Roll back…' }).count(), 0, 'nothing leads back by itself');
});

test('a canary is seen, and taken back', async () => {
  const body = { ...(await bundle('tasks', (manifest) => `${manifest}\n[limits]\ncpu_ms = 150\n`)), canary: { tenants: ['acme'] } };
  const status = await page.evaluate(async (body) => {
    const headers = { 'content-type': 'application/json' };
    return (await fetch('/api/control/services/tasks/releases', { method: 'POST', headers, body: JSON.stringify(body) })).status;
  }, body);
  assert.equal(status, 201);
  await page.goto(terrace.url('console', '/services/tasks'));
  const canary = page.getByRole('region', { name: 'Canary' });
  await canary.getByText('answers 1 tenant').waitFor();
  await page.getByRole('table', { name: 'Releases of Tasks' }).getByText('Canary').waitFor();
  await canary.getByRole('button', { name: 'Abort…' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Abort' }).click();
  await canary.waitFor({ state: 'detached' });
  await page.getByText('taken from its tenants').first().waitFor();
});

test('requests move on the overview while somebody works', async () => {
  await page.goto(terrace.url('console'));
  const busiest = page.getByRole('region', { name: 'Busiest tenants' });
  await busiest.waitFor();
  const worker = await (await browser.newContext()).newPage();
  await signIn(worker, terrace.url('globex'), 'gus@globex.example');
  await busiest.getByText('globex', { exact: false }).first().waitFor({ timeout: 5000 });
});

test('every page of the console is clean for axe, in light and in dark', async () => {
  const axe = await import('axe-core');
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const path of ['/', '/tenants', '/services', '/services/tasks', '/sites', '/clusters']) {
      await page.goto(terrace.url('console', path));
      await page.getByRole('heading', { level: 1 }).first().waitFor();
      await page.evaluate(axe.default.source);
      // The initials in an avatar are a picture of the name that its label says.
      const options = { rules: { 'label-content-name-mismatch': { enabled: false } } };
      const { violations } = await page.evaluate((options) => globalThis.axe.run(options), options);
      assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`), [], `${scheme} ${path}`);
    }
  }
});
