/**
 * Our objects in the bytes that SEAL loads, and the parts of what it wrote.
 *
 * The layout is that of SEAL's SEALHeader, Ciphertext, DynArray, KSwitchKeys and Plaintext `save_members`;
 * protocol/pericard_protocol/prediction/seal_bytes.py has the same in Python.
 */

import { join } from "./bytes.ts";
import type { Seeded } from "./objects.ts";
import { type Words, wordsOf } from "./packing.ts";
import { type ParameterSet, SEED_BYTES } from "./parameters.ts";

const HEADER = 16, HASH = 32;
const CIPHERTEXT_MEMBERS = 41; // NTT form u8; polynomials, degree, primes u64; scale f64; correction factor u64
const CIPHERTEXT_WORDS = HEADER + HASH + CIPHERTEXT_MEMBERS + HEADER + 8;
const PLAINTEXT_WORDS = HEADER + HASH + 16 + HEADER + 8;

/** A reply's ciphertext for SEAL: two polynomials under the first prime, not in NTT form. */
export function replyCiphertext(set: ParameterSet, hash: Uint8Array, polynomials: readonly [Words, Words]): Uint8Array {
  const members = new Uint8Array(CIPHERTEXT_MEMBERS), view = new DataView(members.buffer);
  [2, set.degree, 1].forEach((value, index) => view.setBigUint64(1 + 8 * index, BigInt(value), true));
  view.setFloat64(25, 1, true);
  view.setBigUint64(33, 1n, true);
  return whole([hash, members, array(polynomials)]);
}

/** A secret key for SEAL: words in NTT form under every prime. */
export function secretKey(set: ParameterSet, hash: Uint8Array, words: readonly Words[]): Uint8Array {
  const members = new Uint8Array(16), view = new DataView(members.buffer);
  view.setBigUint64(0, BigInt(set.degree * set.primes.length), true);
  view.setFloat64(8, 1, true);
  return whole([hash, members, array(words)]);
}

/** The words of a secret key that SEAL wrote. */
export function secretWords(written: Uint8Array, set: ParameterSet): Words[] {
  return polynomials(written, PLAINTEXT_WORDS, set, set.primes.length);
}

/** The parts of a ciphertext or public key that SEAL wrote with a seed. */
export function seeded(written: Uint8Array, set: ParameterSet, primes: number): Seeded {
  if (written.length !== CIPHERTEXT_WORDS + 8 * primes * set.degree + HEADER + 1 + SEED_BYTES)
    throw new RangeError("SEAL wrote no seeded object of these parameters");
  return { c0: polynomials(written, CIPHERTEXT_WORDS, set, primes), seed: written.slice(-SEED_BYTES) };
}

/** The key-switching parts of Galois keys that SEAL wrote, for each of the steps. */
export function galoisParts(written: Uint8Array, set: ParameterSet, steps: readonly number[]): Seeded[][] {
  const view = new DataView(written.buffer, written.byteOffset, written.length);
  const number = (at: number) => Number(view.getBigUint64(at, true));
  const held = new Map<number, Seeded[]>();
  let at = HEADER + HASH;
  const count = number(at);
  at += 8;
  for (let index = 0; index < count; index++) {
    const parts = number(at);
    at += 8;
    for (let part = 0; part < parts; part++) {
      const size = number(at + 8);
      const found = seeded(written.subarray(at, at + size), set, set.primes.length);
      held.set(index, [...(held.get(index) ?? []), found]);
      at += size;
    }
  }
  if (at !== written.length || held.size !== steps.length) throw new RangeError("SEAL wrote other Galois keys");
  return steps.map((step) => {
    const found = held.get(galoisIndex(set, step));
    if (!found) throw new RangeError("SEAL wrote other Galois keys");
    return found;
  });
}

/** Where SEAL's array has the key that rotates rows left by `step`: the automorphism X -> X^(3^step). */
function galoisIndex(set: ParameterSet, step: number): number {
  let power = 1;
  for (let i = 0; i < step; i++) power = (power * 3) % (2 * set.degree);
  return (power - 1) / 2;
}

function polynomials(written: Uint8Array, start: number, set: ParameterSet, count: number): Words[] {
  const size = 8 * set.degree;
  return Array.from({ length: count }, (_, index) =>
    wordsOf(written.subarray(start + index * size, start + (index + 1) * size)),
  );
}

function array(words: readonly Words[]): Uint8Array {
  const count = new Uint8Array(8);
  const total = words.reduce((sum, one) => sum + one.length / 2, 0);
  new DataView(count.buffer).setBigUint64(0, BigInt(total), true);
  return whole([count, ...words.map((one) => new Uint8Array(one.buffer, one.byteOffset, one.byteLength))]);
}

function whole(parts: readonly Uint8Array[]): Uint8Array {
  const head = new Uint8Array(HEADER), view = new DataView(head.buffer);
  const bytes = join([head, ...parts]);
  view.setUint16(0, 0xa15e, true);
  head.set([HEADER, 4, 1, 0], 2); // SEAL 4.1, uncompressed
  view.setBigUint64(8, BigInt(bytes.length), true);
  bytes.set(head);
  return bytes;
}
