// Makes dist/service.wasm: the service, with a JavaScript engine around it.
//
// The interfaces of WASI come with jco, in a later version than the one that the engine speaks; versions
// 0.2.x only ever add, so they are labelled with the engine's.

import { componentize } from "@bytecodealliance/componentize-js";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ENGINE_SPEAKS = "0.2.10";
const JCO_HAS = "0.2.12";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const jco = join(here, "node_modules/@bytecodealliance/jco");

async function gatherInterfaces(wit) {
  await cp(join(here, "wit"), wit, { recursive: true });
  const builtin = join(jco, "lib/wit/builtin", JCO_HAS);
  for (const name of await readdir(builtin)) {
    const text = await readFile(join(builtin, name, "package.wit"), "utf8");
    await mkdir(join(wit, "deps", name), { recursive: true });
    await writeFile(
      join(wit, "deps", name, "package.wit"),
      text
        .replaceAll(`@${JCO_HAS}`, `@${ENGINE_SPEAKS}`)
        .replaceAll(/@since\(version = 0\.2\.1[12]\)/g, `@since(version = ${ENGINE_SPEAKS})`),
    );
  }
  await cp(join(root, "contracts/wit"), join(wit, "deps/terrace"), { recursive: true });
  await mkdir(join(wit, "deps/keyvalue"));
  await cp(join(root, "contracts/standards/keyvalue.wit"), join(wit, "deps/keyvalue/package.wit"));
}

const wit = await mkdtemp(join(tmpdir(), "notes-wit-"));
try {
  await gatherInterfaces(wit);
  const { component } = await componentize({
    sourcePath: join(here, "src/service.js"),
    witPath: wit,
    worldName: "service",
    // Outgoing requests: the service sends none, and a component that cannot is not asked about it.
    disableFeatures: ["http"],
  });
  await mkdir(join(here, "dist"), { recursive: true });
  await writeFile(join(here, "dist/service.wasm"), component);
} finally {
  await rm(wit, { recursive: true });
}
