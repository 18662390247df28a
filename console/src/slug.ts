// The slug a name suggests. Pure. The control API has the last word on what a slug may be.

/** `Globex & Söhne GmbH` suggests `globex-sohne-gmbh`; at most 31 characters, as the host's first label. */
export function slugFor(name: string): string {
  return name
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 31)
    .replace(/-+$/, '');
}
