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
  await page.getByRole('link', { name: 'Tenants' }).first().click();
  await page.getByRole('button', { name: /(new|create) tenant/i }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name', { exact: true }).fill('Initech');
  await dialog.getByLabel(/slug|address/i).first().fill('initech');
  await dialog.getByLabel(/email/i).fill('bill@initech.example');
  const ownerName = dialog.getByLabel(/owner.*name|name.*owner|their name/i);
  if (await ownerName.count()) await ownerName.first().fill('Bill Lumbergh');
  await dialog.getByRole('button', { name: /create/i }).click();
  await page.getByText(/initech/i).first().waitFor();
  const answer = await page.request.get(terrace.url('initech'), { headers: { accept: 'text/html' } });
  assert.ok([200, 404].includes(answer.status()));
});

test('services are listed with their releases', async () => {
  await page.getByRole('link', { name: 'Services' }).first().click();
  for (const name of ['identity', 'tasks', 'billing']) await page.getByText(name).first().waitFor();
  await page.getByText(/r_[a-z0-9]{10}/).first().waitFor();
});

test('requests move on the overview while somebody works', async () => {
  await page.goto(terrace.url('console'));
  await page.getByRole('heading', { level: 1 }).first().waitFor();
  await page.request.post(terrace.url('acme', '/api/identity/session'), { data: { email: 'ada@acme.example', password: 'wrong' } });
  await page.getByRole('link', { name: 'Acme' }).or(page.getByText('acme')).first().waitFor({ timeout: 10_000 });
});
