/**
 * The client without a browser, for tests that pair it with the kit: one JSON object a line on standard input and
 * output, {op, …} to {…} or {trouble}. Bytes are base64.
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import SEAL from "node-seal/throws_wasm_cf_worker_es";
import { fromBase64, fromHex, toBase64 } from "../src/core/bytes.ts";
import { openKey, sealKey } from "../src/core/key-export.ts";
import { Manifest, type Mode } from "../src/core/manifest.ts";
import { named } from "../src/core/parameters.ts";
import { Engine } from "../src/core/seal.ts";
import { parseTable } from "../src/core/table.ts";
import { Trouble } from "../src/core/trouble.ts";

const wasm = createRequire(import.meta.url).resolve("node-seal/seal_throws_wasm_cf_worker.wasm");
const engine = new Engine(await SEAL(await WebAssembly.compile(readFileSync(wasm))));
const nothing = () => undefined;

const operations: Record<string, (given: any) => Promise<object>> = {
  async keys({ set, steps, passphrase }) {
    const { secret, keys } = await engine.makeKeys(named(set), steps);
    return { keys: toBase64(keys), export: await sealKey(secret, passphrase) };
  },
  async reseal({ export: sealed, passphrase, again }) {
    return { export: await sealKey(await openKey(sealed, passphrase), again) };
  },
  async encrypt({ export: sealed, passphrase, manifest, rows, mode }) {
    const secret = await openKey(sealed, passphrase), fingerprint = fromHex(secret.fingerprint);
    return { query: toBase64(engine.encrypt(secret, await Manifest.from(manifest), rows, mode as Mode, nothing, fingerprint)) };
  },
  async open({ export: sealed, passphrase, manifest, reply }) {
    const secret = await openKey(sealed, passphrase), fingerprint = fromHex(secret.fingerprint);
    return { answers: engine.open(secret, await Manifest.from(manifest), fromBase64(reply), nothing, fingerprint) };
  },
  async table({ text, manifest }) {
    return parseTable(text, await Manifest.from(manifest));
  },
};

for await (const line of createInterface(process.stdin)) {
  const { op, ...given } = JSON.parse(line);
  let answer: object;
  try {
    answer = await operations[op]!(given);
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    answer = { trouble: error.code, values: error.values };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
