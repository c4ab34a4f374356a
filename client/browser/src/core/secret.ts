/** A user's secret key: its words, and the name of the public keys that were made with it. */

import { join } from "./bytes.ts";
import { type Words, allBelow, pack, unpack } from "./packing.ts";
import { at, named } from "./parameters.ts";
import { Trouble } from "./trouble.ts";

export interface KeyName {
  set: string;
  steps: number[];
  fingerprint: string;
}

export interface SecretKey extends KeyName {
  words: Words[]; // in NTT form, one for each prime
}

/** The words as they are sealed: a block under each prime. */
export function packSecret(secret: SecretKey): Uint8Array<ArrayBuffer> {
  const { bits } = named(secret.set);
  return join(secret.words.map((words, prime) => pack(words, at(bits, prime))));
}

/** What `packSecret` packed. */
export function unpackSecret(name: KeyName, blocks: Uint8Array): SecretKey {
  const set = named(name.set);
  let start = 0;
  const words = set.primes.map((prime, index) => {
    const end = start + set.blockBytes(index);
    const found = unpack(blocks.subarray(start, end), at(set.bits, index));
    start = end;
    if (found.length !== 2 * set.degree || !allBelow(found, prime)) throw new Trouble("bad-export");
    return found;
  });
  if (start !== blocks.length) throw new Trouble("bad-export");
  return { set: name.set, steps: name.steps, fingerprint: name.fingerprint, words };
}
