// What the client promises, over a fetch that the test answers.

import { describe, expect, it } from "vitest";
import { createClient, messages, ProblemError, type LiveStatus, type TerraceEvent } from "./index";

type Answer = (path: string, init: RequestInit) => Response | Promise<Response>;

function answering(answer: Answer): { fetch: typeof fetch; calls: { path: string; headers: Headers }[] } {
  const calls: { path: string; headers: Headers }[] = [];
  const send = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const path = String(input);
    calls.push({ path, headers: new Headers(init.headers) });
    return answer(path, init);
  };
  return { fetch: send as typeof fetch, calls };
}

const json = (status: number, body: unknown): Response => new Response(JSON.stringify(body), { status });
const refresh = "/api/identity/session/refresh";

describe("a session that has expired", () => {
  it("is renewed once for all calls that meet it, and each is sent again", async () => {
    let fresh = false;
    const { fetch, calls } = answering(async (path) => {
      if (path === refresh) {
        await Promise.resolve();
        fresh = true;
        return json(200, {});
      }
      return fresh ? json(200, { items: [], next_page_token: null }) : json(401, { code: "token-expired" });
    });
    const client = createClient({ fetch });
    await Promise.all([client.tasks.listBoards(), client.tasks.listBoards(), client.identity.listMembers()]);
    expect(calls.filter((call) => call.path === refresh)).toHaveLength(1);
  });

  it("is over when the renewal is refused, and the call says so", async () => {
    const { fetch, calls } = answering(() => json(401, { code: "unauthenticated", title: "Sign in first" }));
    await expect(createClient({ fetch }).identity.getMe()).rejects.toMatchObject({ status: 401, code: "unauthenticated" });
    expect(calls.map((call) => call.path)).toEqual(["/api/identity/me", refresh]);
  });

  it("is not called over when the renewal could not be asked for", async () => {
    const { fetch } = answering((path) => (path === refresh ? json(503, { code: "backend-unavailable" }) : json(401, { code: "token-expired" })));
    await expect(createClient({ fetch }).identity.getMe()).rejects.toMatchObject({ code: "backend-unavailable" });
  });

  it("is no matter of signing in, where a wrong password is the answer", async () => {
    const { fetch, calls } = answering(() => json(401, { code: "unauthenticated" }));
    await expect(createClient({ fetch }).identity.createSession({ email: "a", password: "b" })).rejects.toBeInstanceOf(ProblemError);
    expect(calls).toHaveLength(1);
  });
});

describe("a call", () => {
  it("says its build, and keeps its idempotency key when it is repeated", async () => {
    let fresh = false;
    const { fetch, calls } = answering((path) => {
      if (path === refresh) fresh = true;
      return fresh ? json(201, { id: 1 }) : json(401, { code: "token-expired" });
    });
    await createClient({ fetch, build: "b_1" }).tasks.createTask({ board: 7 }, { title: "Dig" });
    const sent = calls.filter((call) => call.path === "/api/tasks/boards/7/tasks");
    expect(sent).toHaveLength(2);
    expect(sent[0]?.headers.get("idempotency-key")).toBe(sent[1]?.headers.get("idempotency-key"));
    expect(sent[0]?.headers.get("idempotency-key")).toBeTruthy();
    expect(sent[0]?.headers.get("x-terrace-build")).toBe("b_1");
  });

  it("encodes what goes into its address", async () => {
    const { fetch, calls } = answering(() => json(200, {}));
    await createClient({ fetch }).identity.getMember({ member: "../session?x" });
    expect(calls[0]?.path).toBe("/api/identity/members/..%2Fsession%3Fx");
  });

  it("that gets no answer, or one that is no problem document, is a problem nevertheless", async () => {
    const lost = answering(() => Promise.reject(new TypeError("network")));
    await expect(createClient(lost).billing.getPlan()).rejects.toMatchObject({ status: 0, code: "backend-unavailable" });
    const html = answering(() => new Response("<h1>Bad gateway</h1>", { status: 502, headers: { "retry-after": "2" } }));
    await expect(createClient(html).billing.getPlan()).rejects.toMatchObject({ status: 502, code: "backend-unavailable", retryAfterMs: 2000 });
  });
});

function body(...chunks: string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
      controller.close();
    },
  });
}

describe("live events", () => {
  it("are read in any chunks, with any line ends", async () => {
    const seen = [];
    for await (const message of messages(body(": hello\r", "\nid: 7\r\nevent: ev", "ent\r\ndata: a\r\ndata: b\r\n\r\n", "data: c\n\n"))) seen.push(message);
    expect(seen).toEqual([
      { event: "event", data: "a\nb", id: "7" },
      { event: "message", data: "c", id: "7" },
    ]);
  });

  it("go on after the last one when the connection breaks, and none is told twice", async () => {
    const event = (seq: number): string => `id: ${seq}\nevent: event\ndata: {"seq":${seq},"type":"t","topic":"x","data":{},"time":""}\n\n`;
    const answers = [body(event(1), event(2)), body(event(2), event(3), 'event: caught-up\ndata: {"seq":3}\n\n')];
    const { fetch, calls } = answering(() => new Response(answers.shift() ?? body()));
    const seen: number[] = [];
    const statuses: LiveStatus[] = [];
    await new Promise<void>((resolve) => {
      const subscription = createClient({ fetch }).events({
        topics: ["board/7", "boards"],
        onEvent: (told: TerraceEvent) => seen.push(told.seq),
        onStatus: (status) => statuses.push(status),
        onCaughtUp: () => {
          subscription.close();
          resolve();
        },
      });
    });
    expect(seen).toEqual([1, 2, 3]);
    expect(calls[0]?.path).toBe("/api/events?topics=board%2F7,boards");
    expect(calls[0]?.headers.get("last-event-id")).toBeNull();
    expect(calls[1]?.headers.get("last-event-id")).toBe("2");
    expect(statuses).toEqual(["live", "reconnecting", "live"]);
  });

  it("end for good when nobody is signed in any more", async () => {
    const { fetch } = answering(() => json(401, { code: "unauthenticated" }));
    const problem = await new Promise<ProblemError>((resolve) => {
      createClient({ fetch }).events({ onEvent: () => {}, onProblem: resolve });
    });
    expect(problem.code).toBe("unauthenticated");
  });
});
