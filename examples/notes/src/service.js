// Notes of a tenant, in its store. Standard JavaScript: `fetch` events, `Request`, `Response`.

import { get as configured } from "terrace:platform/config@0.1.0";
import { getCaller, getTenant } from "terrace:platform/request@0.1.0";
import { increment } from "wasi:keyvalue/atomics@0.2.0-draft2";
import { open } from "wasi:keyvalue/store@0.2.0-draft2";

const NAME = /^[a-z0-9-]{1,64}$/;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

// An instance serves one tenant for life, and here one request (`isolation` in service.toml): what is
// remembered is this tenant's alone.
const remembered = { tenant: null, requests: 0 };

class Problem extends Error {
  constructor(status, code, title) {
    super(title);
    this.status = status;
    this.code = code;
  }
}

function notes() {
  return open("notes");
}

function read(name) {
  const bytes = notes().get(`note/${name}`);
  if (!bytes) throw new Problem(404, "not-found", "There is no such note");
  return JSON.parse(decoder.decode(bytes));
}

function names() {
  const bucket = notes();
  const found = [];
  for (let cursor; ; ) {
    const page = bucket.listKeys(cursor);
    for (const key of page.keys) if (key.startsWith("note/")) found.push(key.slice("note/".length));
    cursor = page.cursor;
    if (cursor === undefined) return found;
  }
}

function list(url) {
  const match = url.searchParams.get("match");
  // Whatever a member asks for: an expression that never ends costs this one request.
  const found = match ? names().filter((name) => new RegExp(match).test(read(name).text)) : names();
  return {
    items: found,
    greeting: configured("greeting") ?? null,
    tenant: getTenant().slug,
    instance: { ...remembered },
  };
}

async function put(name, request) {
  const { text, times = 1 } = await request.json().catch(() => ({}));
  if (typeof text !== "string" || !Number.isInteger(times) || times < 1) {
    throw new Problem(400, "validation", "A note is `{\"text\": \"...\"}`, perhaps so many `times`");
  }
  const revision = Number(increment(notes(), "revision", 1n));
  const note = { name, text: text.repeat(times), revision, by: getCaller()?.name ?? null };
  notes().set(`note/${name}`, encoder.encode(JSON.stringify(note)));
  return note;
}

async function answer(request) {
  remembered.tenant ??= getTenant().slug;
  remembered.requests += 1;
  const url = new URL(request.url);
  const [, name] = url.pathname.match(/^\/api\/notes\/notes(?:\/([^/]+))?$/) ?? [];
  if (name === undefined) return Response.json(list(url));
  if (!NAME.test(name)) throw new Problem(400, "validation", "A name is made of a-z, 0-9 and -");
  switch (request.method) {
    case "PUT":
      return Response.json(await put(name, request));
    case "DELETE":
      notes().delete(`note/${name}`);
      return new Response(null, { status: 204 });
    default:
      return Response.json(read(name));
  }
}

// What a call of the platform refused comes with the reason as `payload`.
function refused(error) {
  const { status, code } = error instanceof Problem ? error : { status: 409, code: "conflict" };
  const title = error instanceof Problem ? error.message : (error?.payload?.val ?? "The store refused");
  if (!(error instanceof Problem)) console.error(`${error} ${title}`);
  const body = JSON.stringify({ type: "about:blank", title, status, code });
  return new Response(body, { status, headers: { "content-type": "application/problem+json" } });
}

addEventListener("fetch", (event) => event.respondWith(answer(event.request).catch(refused)));
