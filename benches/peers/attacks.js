// The gauntlet for workerd, which runs no wasi:http component: each attack of `tests/gauntlet`, as
// JavaScript says it. The last segment of the path says which. `cargo gauntlet` serves it by
// `workerd.capnp`. It uses nothing that a worker has to be allowed first.

const KIB = 1 << 10;
const MIB = 1 << 20;
const HOUR_MS = 3_600_000;

let turns = 0;
let served = 0;

const done = () => new Response(null);

function forEver() {
  for (;;) turns += 1;
}

function descend(depth) {
  return 1 + descend(depth + 1);
}

/** A body whose next chunk is what `next` gives, for as long as somebody reads. */
function body(next) {
  return new Response(new ReadableStream({ pull: async (controller) => controller.enqueue(await next()) }));
}

const later = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const attacks = {
  ping: done,

  loop: forEver,

  "reused-loop"() {
    served += 1;
    if (served % 2 === 0) forEver();
    return done();
  },

  // A component's memory ends at 4 GiB; so does this, or it would be another attack.
  memory() {
    const held = [];
    while (held.length < 4 * KIB) held.push(new Uint8Array(MIB).fill(1));
    return done();
  },

  // One call whose argument the host has to copy: a list of millions of headers.
  "list-bomb"() {
    for (let count = 1 << 16; count < 1 << 21; count *= 2) {
      new Headers(Array(count).fill(["x-bomb", ""]));
    }
    return done();
  },

  // More than 64 KiB at once is refused: the first of these.
  "random-bomb"() {
    for (let exponent = 20; exponent < 40; exponent += 1) crypto.getRandomValues(new Uint8Array(2 ** exponent));
    return done();
  },

  "header-bomb"() {
    const headers = new Headers();
    const value = "x".repeat(KIB);
    for (let number = 0; number < 100_000; number += 1) headers.append(`x-bomb-${number}`, value);
    return new Response(null, { headers });
  },

  // Many header objects, each full, held at the same time.
  fields() {
    const value = "x".repeat(KIB);
    const held = [];
    for (let count = 0; count < 1_000_000; count += 1) {
      const headers = new Headers();
      for (let number = 0; number < 60; number += 1) headers.append(`x-bomb-${number}`, value);
      held.push(headers);
    }
    return done();
  },

  // Timers are what a worker holds of its host.
  handles() {
    for (let count = 0; count < 10_000_000; count += 1) setTimeout(() => {}, HOUR_MS);
    return done();
  },

  "stream-bomb"() {
    const chunk = new Uint8Array(4 * KIB).fill(120);
    return body(() => chunk);
  },

  "bulk-copy"() {
    const memory = new Uint8Array(24 * MIB).fill(1);
    for (;;) {
      memory.copyWithin(memory.length / 2, 0, memory.length / 2);
      turns += 1;
    }
  },

  stack: () => new Response(String(descend(1))),

  trap() {
    throw new Error("as told");
  },

  async sleep() {
    await later(24 * HOUR_MS);
    return done();
  },

  "slow-body"() {
    const chunk = new Uint8Array([120]);
    return body(() => later(100).then(() => chunk));
  },

  // To wherever they get. Nobody waits for them, as nobody does in the component.
  outgoing() {
    for (let count = 0; count < 100_000; count += 1) fetch("http://127.0.0.1:1/").catch(() => {});
    return done();
  },

  "log-flood"() {
    const line = "x".repeat(4 * KIB);
    for (;;) console.log(line);
  },
};

export default {
  fetch(request) {
    const attack = attacks[new URL(request.url).pathname.split("/").pop()];
    return attack ? attack() : new Response(null, { status: 404 });
  },
};
