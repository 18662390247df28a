// Server-sent events over fetch: resumed where they broke off, with a status that a page can show.

import { problem, ProblemError, type Core } from "./core";

/** `offline`: there is no connection, and trying again has not helped so far. It goes on trying. */
export type LiveStatus = "live" | "reconnecting" | "offline";

/** Something that happened in this workspace. */
export interface TerraceEvent<T = unknown> {
  /** Its place in the workspace's stream: dense, from 1. */
  seq: number;
  /** The service and what happened: `tasks.task.created`. */
  type: string;
  /** What it is about: `board/7`. */
  topic: string;
  data: T;
  /** When it was committed, in RFC 3339. */
  time: string;
}

/** The stream cannot go on where it was: read everything again. */
export interface Reset {
  reason: string;
  /** Events after this one follow. */
  seq: number;
}

export interface EventsOptions {
  /** Beginnings of topics: `board/7`. None: everything. */
  topics?: string[];
  /** Begin after this event. Left out: now. */
  cursor?: number;
  onEvent: (event: TerraceEvent) => void;
  onReset?: (reset: Reset) => void;
  /** Everything up to here has been told. */
  onCaughtUp?: (seq: number) => void;
  onStatus?: (status: LiveStatus) => void;
  /** It has ended for good, because of this: nobody is signed in, or may listen. */
  onProblem?: (problem: ProblemError) => void;
}

export interface StreamOptions {
  /** Path and query. */
  path: string;
  /** Sent as Last-Event-ID, and followed by the ids that come. */
  lastEventId?: string;
  onMessage: (message: StreamMessage) => void;
  onStatus?: (status: LiveStatus) => void;
  onProblem?: (problem: ProblemError) => void;
}

export interface StreamMessage {
  event: string;
  data: string;
  id: string | undefined;
}

export interface Subscription {
  close(): void;
}

/** The server sends a comment every 15 seconds: without a byte for so long, the connection is dead. */
const SILENCE_MAX_MS = 40_000;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_MAX_MS = 30_000;
/** Attempts that fail one after the other before a page should say that it is offline. */
const OFFLINE_AFTER = 3;

export function openEvents(core: Core, options: EventsOptions): Subscription {
  let cursor = options.cursor;
  const topics = options.topics?.length ? `?topics=${options.topics.map(encodeURIComponent).join(",")}` : "";
  const onMessage = ({ event, data }: StreamMessage): void => {
    if (event === "event") {
      const happened = JSON.parse(data) as TerraceEvent;
      // After a resume the last event may come twice.
      if (cursor !== undefined && happened.seq <= cursor) return;
      cursor = happened.seq;
      options.onEvent(happened);
    } else if (event === "caught-up") {
      const { seq } = JSON.parse(data) as { seq: number };
      cursor = Math.max(cursor ?? 0, seq);
      options.onCaughtUp?.(seq);
    } else if (event === "reset") {
      const reset = JSON.parse(data) as Reset;
      cursor = reset.seq;
      options.onReset?.(reset);
    }
  };
  const stream: StreamOptions = { path: `/api/events${topics}`, onMessage };
  if (cursor !== undefined) stream.lastEventId = String(cursor);
  if (options.onStatus) stream.onStatus = options.onStatus;
  if (options.onProblem) stream.onProblem = options.onProblem;
  return run(core, stream, () => (cursor === undefined ? undefined : String(cursor)));
}

export function openStream(core: Core, options: StreamOptions): Subscription {
  let last = options.lastEventId;
  const onMessage = (message: StreamMessage): void => {
    last = message.id ?? last;
    options.onMessage(message);
  };
  return run(core, { ...options, onMessage }, () => last);
}

function run(core: Core, options: StreamOptions, lastEventId: () => string | undefined): Subscription {
  const closed = new AbortController();
  let status: LiveStatus | undefined;
  let failures = 0;
  const tell = (next: LiveStatus): void => {
    if (next === status || closed.signal.aborted) return;
    status = next;
    options.onStatus?.(next);
  };

  /** One connection. Resolves with the wait that the server asked for, if it said good-bye. */
  async function connect(): Promise<number | undefined> {
    const attempt = new AbortController();
    const abort = (): void => attempt.abort();
    closed.signal.addEventListener("abort", abort);
    let silence = setTimeout(abort, SILENCE_MAX_MS);
    try {
      const headers = new Headers({ accept: "text/event-stream" });
      const last = lastEventId();
      if (last !== undefined) headers.set("last-event-id", last);
      const response = await core.send(options.path, { headers, signal: attempt.signal, cache: "no-store" }, true);
      if (!response.ok || !response.body) throw await problem(response);
      failures = 0;
      tell("live");
      let wait: number | undefined;
      for await (const message of messages(response.body, () => {
        clearTimeout(silence);
        silence = setTimeout(abort, SILENCE_MAX_MS);
      })) {
        if (message.event === "bye") wait = (JSON.parse(message.data) as { retry_ms?: number }).retry_ms ?? 0;
        else options.onMessage(message);
      }
      return wait;
    } finally {
      clearTimeout(silence);
      closed.signal.removeEventListener("abort", abort);
    }
  }

  async function loop(): Promise<void> {
    while (!closed.signal.aborted) {
      let wait: number | undefined;
      try {
        wait = await connect();
      } catch (error) {
        if (closed.signal.aborted) return;
        if (error instanceof ProblemError && (error.status === 401 || error.status === 403 || error.status === 404)) {
          tell("offline");
          options.onProblem?.(error);
          return;
        }
        if (error instanceof ProblemError) wait = error.retryAfterMs;
      }
      if (closed.signal.aborted) return;
      failures += 1;
      tell(failures > OFFLINE_AFTER || globalThis.navigator?.onLine === false ? "offline" : "reconnecting");
      // Full jitter: after a restart not everybody comes back at the same moment.
      const most = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(failures, 10));
      await pause(Math.random() * Math.max(most, wait ?? 0), closed.signal);
    }
  }

  void loop();
  return { close: () => closed.abort() };
}

/** Waits, but no longer than until the browser says that it is online again. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    globalThis.addEventListener?.("online", done);
    signal.addEventListener("abort", done);
  });
}

/** Messages of a body, by the event stream format of the HTML standard. */
export async function* messages(body: ReadableStream<Uint8Array>, onBytes: () => void = () => {}): AsyncGenerator<StreamMessage> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let event = "";
  let id: string | undefined;
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      rest += decoder.decode(value, { stream: true });
      // A carriage return at the very end may be the first half of a line's end.
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { event: event || "message", data: data.join("\n"), id };
          event = "";
          data = [];
          continue;
        }
        const colon = line.indexOf(":");
        const field = colon < 0 ? line : line.slice(0, colon);
        const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (field === "event") event = text;
        else if (field === "data") data.push(text);
        else if (field === "id" && !text.includes("\0")) id = text;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
