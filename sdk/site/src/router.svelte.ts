// The router of a site: paths to route names over the browser's history. The edge answers every navigation with
// the site's page, so paths are plain and there is no hash.
import { tick } from 'svelte';
import { match, type Match } from './match.ts';

/** One per site. `current` is reactive; plain `<a href>` links work and are taken over while the router listens. */
export class Router<Name extends string> {
  path = $state(location.pathname);
  current: Match<Name> | null = $derived.by(() => match(this.#patterns, this.path));
  #patterns: Record<Name, string>;

  constructor(patterns: Record<Name, string>) {
    this.#patterns = patterns;
  }

  /** Starts listening; returns what stops it, so an `$effect` can return it. */
  listen(): () => void {
    const onPop = () => {
      this.path = location.pathname;
    };
    const onClick = (event: MouseEvent) => {
      const path = internalLink(event);
      if (path === null) return;
      event.preventDefault();
      this.go(path);
    };
    addEventListener('popstate', onPop);
    document.addEventListener('click', onClick);
    return () => {
      removeEventListener('popstate', onPop);
      document.removeEventListener('click', onClick);
    };
  }

  /** Goes to a path of this site. `replace` leaves no entry to go back to; `keep` leaves scroll and focus alone. */
  go(path: string, { replace = false, keep = false } = {}): void {
    if (path === this.path) return;
    history[replace ? 'replaceState' : 'pushState'](null, '', path);
    this.path = location.pathname;
    if (!keep) void announcePage();
  }
}

/** A new page starts at its top, and a screen reader starts reading at its heading. */
async function announcePage(): Promise<void> {
  await tick();
  scrollTo(0, 0);
  const main = document.querySelector('main');
  if (main && !main.contains(document.activeElement)) main.focus({ preventScroll: true });
}

function internalLink(event: MouseEvent): string | null {
  if (event.defaultPrevented || event.button !== 0) return null;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return null;
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return null;
  if (link.hash && link.pathname === location.pathname) return null;
  return link.pathname + link.search;
}
