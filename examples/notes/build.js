// Makes dist/service.wasm: the service, with a JavaScript engine around it.

import { componentize } from "@bytecodealliance/componentize-js";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");

async function gatherInterfaces(wit) {
  await cp(join(here, "wit"), wit, { recursive: true });
  for (const name of ["io", "clocks", "http"]) {
    await mkdir(join(wit, "deps", name), { recursive: true });
    await cp(join(root, "contracts/standards/wasi", `${name}.wit`), join(wit, "deps", name, "package.wit"));
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
