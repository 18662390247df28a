// The differences between two releases as sentences: those of `terrace deploy`.
import type { ReleaseDiff } from './api.ts';

export interface Change {
  kind: 'asks' | 'drops' | 'changes' | 'breaks';
  mark: '+' | '-' | '~' | '!';
  text: string;
}

/** What is breaking comes first. */
export function changesOf(diff: ReleaseDiff): Change[] {
  const asks = diff.against === null ? 'Asks for' : 'Newly asks for';
  const all: Change[] = [
    ...diff.asks.map(({ kind, name }): Change => ({ kind: 'asks', mark: '+', text: `${asks} ${kind} ${name}` })),
    ...diff.drops.map(({ kind, name }): Change => ({ kind: 'drops', mark: '-', text: `Asks no more for ${kind} ${name}` })),
    ...diff.settings.map(({ name, before, after }): Change => ({ kind: 'changes', mark: '~', text: `${name} is ${after ?? 'none'}, ${before ?? 'none'} in the served release` })),
    ...diff.migrations.map(({ name }): Change => ({ kind: 'asks', mark: '+', text: `Migration ${name}` })),
    ...diff.migrations.flatMap(({ name, takes_away }) => takes_away.map((what): Change => ({ kind: 'breaks', mark: '!', text: `Migration ${name} ${what}: there is no way back` }))),
    ...diff.migrations.flatMap(({ name, makes_wait }) => makes_wait.map((what): Change => ({ kind: 'breaks', mark: '!', text: `Migration ${name} ${what}` }))),
    ...diff.contract.map(({ breaking, place, detail }): Change =>
      breaking ? { kind: 'breaks', mark: '!', text: `Breaks clients: ${place}: ${detail}` } : { kind: 'changes', mark: '~', text: `${place}: ${detail}` },
    ),
  ];
  return [...all.filter(({ kind }) => kind === 'breaks'), ...all.filter(({ kind }) => kind !== 'breaks')];
}

const WORDS: Record<string, string> = {
  deployed: 'deployed to every tenant',
  'rolled-back': 'gone back to',
  'rolled-back-by-budget': 'taken away by its error budget',
  'canary-started': 'given to some tenants',
  'canary-promoted': 'promoted to every tenant',
  'canary-aborted': 'taken from its tenants',
  'canary-aborted-by-budget': 'taken from its tenants by its error budget',
  failed: 'not activated',
};

/** What happened to a release, after its id: "deployed to every tenant". */
export const happenedWords = (happened: string): string => WORDS[happened] ?? happened;
