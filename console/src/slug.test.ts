// The laws of suggested slugs.
import { expect, it } from 'vitest';
import { slugFor } from './slug.ts';

it('a suggested slug is always one that a host can have, or empty', () => {
  const names = ['Acme', 'Globex & Söhne GmbH', '42 Degrees', '  spaces  ', '株式会社', 'x'.repeat(60), 'a'.repeat(30) + ' b', '--'];
  for (const name of names) expect(slugFor(name)).toMatch(/^([a-z]([a-z0-9-]{0,29}[a-z0-9])?)?$/);
});

it('a name stays recognisable in it', () => {
  expect(slugFor('Globex & Söhne GmbH')).toBe('globex-sohne-gmbh');
  expect(slugFor('42 Degrees')).toBe('degrees');
});
