// Matches a path against route patterns such as `/boards/:board`. Pure: the router adds history to it.

/** A route that matched: its name and the decoded values of its `:parameters`. */
export interface Match<Name extends string> {
  name: Name;
  params: Record<string, string>;
}

/** The first pattern that fits the whole path, or null. A trailing slash makes no difference. */
export function match<Name extends string>(patterns: Record<Name, string>, path: string): Match<Name> | null {
  const parts = segments(path);
  for (const name of Object.keys(patterns) as Name[]) {
    const params = matchOne(segments(patterns[name]), parts);
    if (params) return { name, params };
  }
  return null;
}

function matchOne(pattern: string[], parts: string[]): Record<string, string> | null {
  if (pattern.length !== parts.length) return null;
  const params: Record<string, string> = {};
  for (const [index, expected] of pattern.entries()) {
    const actual = parts[index] ?? '';
    if (expected.startsWith(':')) {
      const value = decode(actual);
      if (value === null) return null;
      params[expected.slice(1)] = value;
    } else if (expected !== actual) {
      return null;
    }
  }
  return params;
}

function segments(path: string): string[] {
  return path.split('/').filter((part) => part !== '');
}

function decode(part: string): string | null {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}
