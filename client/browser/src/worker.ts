/** The Worker: everything that touches a secret key or takes long. The page's own thread does neither. */

import wasmAddress from "node-seal/seal_throws_wasm_cf_worker.wasm?url";
import SEAL from "node-seal/throws_wasm_cf_worker_es";
import { fromHex } from "./core/bytes.ts";
import type { Calls, Operation, Report, Request } from "./core/calls.ts";
import { openKey, sealKey } from "./core/key-export.ts";
import { Manifest } from "./core/manifest.ts";
import { bestMode } from "./core/objects.ts";
import { named } from "./core/parameters.ts";
import { Engine, type Progress } from "./core/seal.ts";
import { Trouble } from "./core/trouble.ts";
import { Store } from "./store.ts";

type Work = { [K in Operation]: (given: Calls[K]["given"], progress: Progress) => Promise<Calls[K]["got"]> };

let engine: Promise<Engine> | undefined;
const seal = () => {
  engine ??= WebAssembly.compileStreaming(fetch(wasmAddress, { credentials: "same-origin" }))
    .then(SEAL)
    .then((library) => new Engine(library));
  return engine;
};
let opened: Promise<Store> | undefined;
const store = () => {
  opened ??= Store.open();
  return opened;
};

const work: Work = {
  list: async ({ user }) => (await store()).list(user),
  async make({ user, set, steps }) {
    const { secret, keys } = await (await seal()).makeKeys(named(set), steps);
    return (await store()).add(user, secret, keys);
  },
  async remove({ user, fingerprint }) {
    await (await store()).remove(user, fingerprint);
    return null;
  },
  export: async ({ user, fingerprint, passphrase }) => sealKey(await (await store()).secret(user, fingerprint), passphrase),
  async import({ user, text, passphrase }) {
    const secret = await openKey(text, passphrase), kept = await store();
    const known = (await kept.list(user)).find((one) => one.fingerprint === secret.fingerprint);
    return known ?? kept.add(user, secret, null);
  },
  async encrypt({ user, fingerprint, manifest: fields, rows }, progress) {
    const secret = await (await store()).secret(user, fingerprint), manifest = await Manifest.from(fields);
    return (await seal()).encrypt(secret, manifest, rows, bestMode(manifest, rows.length), progress, fromHex(fingerprint));
  },
  async open({ user, fingerprint, manifest: fields, reply }, progress) {
    const secret = await (await store()).secret(user, fingerprint), manifest = await Manifest.from(fields);
    return (await seal()).open(secret, manifest, reply, progress, fromHex(fingerprint));
  },
};

const report = (one: Report) => postMessage(one);

onmessage = async ({ data }: MessageEvent<Request>) => {
  const { id, operation, given } = data;
  try {
    let told = 0;
    const progress: Progress = (done) => {
      if (done < 1 && done - told < 0.02) return;
      told = done;
      report({ id, progress: done });
    };
    report({ id, got: await (work[operation] as (given: unknown, progress: Progress) => Promise<never>)(given, progress) });
  } catch (error) {
    // What went wrong inside is said to nobody: it may be about a key.
    if (error instanceof Trouble) report({ id, trouble: error.code, values: error.values });
    else report({ id, trouble: "failed", values: {} });
  }
};
