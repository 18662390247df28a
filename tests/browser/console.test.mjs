// The operators' site in a real browser: tenants, where their data lives, services, and live figures.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { signIn, startBrowser, startTerrace } from './terrace.mjs';

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

test('services are listed with their releases', async () => {
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Services' }).click();
  for (const name of ['Identity', 'Tasks', 'Billing']) await page.getByRole('table', { name: `Releases of ${name}` }).waitFor();
  await page.getByText(/r_[a-z0-9]{10}/).first().waitFor();
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
    for (const path of ['/', '/tenants', '/services', '/sites', '/clusters']) {
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
