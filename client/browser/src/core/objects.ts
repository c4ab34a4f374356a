/** Keys, queries and replies as they travel (docs/wire-format.md, section 5). */

import { fromHex, join, same, sha256, utf8 } from "./bytes.ts";
import { COLUMNS, type Manifest, type Mode, ROWS } from "./manifest.ts";
import { type Words, allBelow, pack, unpack } from "./packing.ts";
import { HEADER_BYTES, type ParameterSet, at } from "./parameters.ts";
import { Trouble } from "./trouble.ts";

export const MAX_ROWS = 4096;
const NAMES = 64; // bytes: the keys' fingerprint and the model's digest
const LABEL = utf8("pericard prediction keys 1\0");

/** A ciphertext whose second polynomial is what SEAL's generator makes of a seed. */
export interface Seeded {
  c0: Words[]; // one for each prime
  seed: Uint8Array;
}

export function fingerprint(keys: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  return sha256(LABEL, keys);
}

/** The keys container of a public key and, for each Galois step, its key-switching parts. */
export function joinKeys(
  set: ParameterSet,
  publicKey: Seeded,
  galois: readonly { step: number; parts: Seeded[] }[],
): Uint8Array<ArrayBuffer> {
  const steps = new Uint8Array(2 * galois.length);
  galois.forEach(({ step }, index) => new DataView(steps.buffer).setUint16(2 * index, step, true));
  const every = [publicKey, ...galois.flatMap(({ parts }) => parts)];
  return join([header("PCKY", set, ROWS, 0, galois.length), steps, ...every.map((one) => packed(set, one))]);
}

export function queryBytes(manifest: Manifest, mode: Mode, rows: number): number {
  const count = mode === ROWS ? rows : manifest.inputs;
  return HEADER_BYTES + NAMES + count * manifest.set.seededBytes(manifest.set.dataPrimes);
}

export function replyBytes(manifest: Manifest, mode: Mode, rows: number): number {
  const count = manifest.replyCiphertexts(mode) * (mode === ROWS ? rows : 1);
  return HEADER_BYTES + NAMES + count * manifest.set.replyCiphertextBytes;
}

/** The mode in which fewer bytes travel. */
export function bestMode(manifest: Manifest, rows: number): Mode {
  if (!manifest.fields.columns) return ROWS;
  const size = (mode: Mode) => queryBytes(manifest, mode, rows) + replyBytes(manifest, mode, rows);
  return size(COLUMNS) < size(ROWS) ? COLUMNS : ROWS;
}

/** The head of a query; its ciphertexts follow, each as `packed` has it. */
export function queryHead(manifest: Manifest, mode: Mode, rows: number, keys: Uint8Array): Uint8Array {
  const count = mode === ROWS ? rows : manifest.inputs;
  return join([header("PCQY", manifest.set, mode, rows, count), keys, fromHex(manifest.fields.digest)]);
}

/** A seeded ciphertext as it travels. */
export function packed(set: ParameterSet, one: Seeded): Uint8Array {
  return join([...one.c0.map((words, prime) => pack(words, at(set.bits, prime))), one.seed]);
}

export interface Reply {
  mode: Mode;
  rows: number;
  /** Ciphertexts of a row in mode rows, of all rows in mode columns. */
  count: number;
  /** The polynomials c0 and c1 of one ciphertext, below the first prime. */
  ciphertext(index: number): [Words, Words];
}

/** A reply of the model to a query under the keys of that fingerprint; each word is checked when it is asked for. */
export function parseReply(data: Uint8Array, manifest: Manifest, keys: Uint8Array): Reply {
  const view = new DataView(data.buffer, data.byteOffset, data.length), { set } = manifest;
  if (data.length < HEADER_BYTES + NAMES || !same(data.subarray(0, 4), utf8("PCRP"))) throw new Trouble("no-reply");
  const mode = data[6], rows = view.getUint16(8, true), count = view.getUint16(10, true);
  if (data[4] !== 1 || data[5] !== set.number || data[7] !== 0) throw new Trouble("other-version");
  if ((mode !== ROWS && mode !== COLUMNS) || (mode === COLUMNS && !manifest.fields.columns)) throw new Trouble("no-reply");
  if (!same(data.subarray(12, 44), keys)) throw new Trouble("other-keys");
  if (!same(data.subarray(44, 76), fromHex(manifest.fields.digest))) throw new Trouble("other-model");
  const fits = rows >= 1 && rows <= MAX_ROWS && count === manifest.replyCiphertexts(mode);
  if (!fits || data.length !== replyBytes(manifest, mode, rows)) throw new Trouble("damaged-reply");
  const block = set.blockBytes(0);
  return {
    mode,
    rows,
    count,
    ciphertext(index) {
      const start = HEADER_BYTES + NAMES + index * set.replyCiphertextBytes;
      const both = [0, 1].map((half) => unpack(data.subarray(start + half * block, start + (half + 1) * block), at(set.bits, 0)));
      if (!both.every((words) => allBelow(words, at(set.primes, 0)))) throw new Trouble("damaged-reply");
      return [at(both, 0), at(both, 1)];
    },
  };
}

function header(magic: string, set: ParameterSet, mode: Mode, rows: number, count: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES), view = new DataView(bytes.buffer);
  bytes.set(utf8(magic));
  bytes.set([1, set.number, mode, 0], 4);
  view.setUint16(8, rows, true);
  view.setUint16(10, count, true);
  return bytes;
}
