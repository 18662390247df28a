// Turns what a call threw into words for a reader. Knows problem documents (RFC 9457) by their shape alone, so that it
// depends on no generated client.

/** What a site shows of a problem. `status` is 0 when no answer came at all. */
export interface Problem {
  status: number;
  code: string;
  title: string;
  detail?: string | undefined;
  requestId?: string | undefined;
  errors?: readonly { pointer: string; detail: string }[];
}

/** Codes which mean that nobody could take the request, as opposed to somebody who refused it. */
const UNREACHABLE = new Set(['backend-unavailable', 'data-unavailable', 'service-unavailable']);

/** The problem document in a thrown value, or null when it carries none (a lost network, a bug). */
export function problemOf(error: unknown): Problem | null {
  if (typeof error !== 'object' || error === null) return null;
  const { code, status } = error as Partial<Problem>;
  return typeof code === 'string' && typeof status === 'number' ? (error as Problem) : null;
}

/** True when the call reached nobody: the network is gone, or the edge found no backend. */
export function isUnreachable(error: unknown): boolean {
  const problem = problemOf(error);
  return problem !== null && (problem.status === 0 || UNREACHABLE.has(problem.code));
}

/** One sentence saying why, for the end of «Could not save …». */
export function reason(error: unknown): string {
  if (isUnreachable(error)) return 'The server cannot be reached right now.';
  const problem = problemOf(error);
  return problem ? (problem.detail ?? problem.title) : 'Something went wrong in this page.';
}

/** The message of each refused field, by its name: pointer `/title` is field `title`. */
export function fieldProblems(error: unknown): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const { pointer, detail } of problemOf(error)?.errors ?? []) {
    fields[pointer.replace(/^\//, '').replaceAll('/', '.')] ??= detail;
  }
  return fields;
}
