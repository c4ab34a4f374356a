/** The parameter sets of the encrypted prediction: BFV, numbers only (docs/wire-format.md, section 5). */

import { Trouble } from "./trouble.ts";

export const HEADER_BYTES = 12;
export const SEED_BYTES = 64;

export class ParameterSet {
  constructor(
    readonly name: string,
    readonly number: number,
    readonly degree: number,
    readonly primes: readonly bigint[],
    readonly bits: readonly number[],
    readonly plain: number,
  ) {}

  /** Slots in one of the two rows: N/2. */
  get row(): number {
    return this.degree / 2;
  }

  /** How many primes a fresh ciphertext has: all but the one for key switching. */
  get dataPrimes(): number {
    return this.primes.length - 1;
  }

  blockBytes(prime: number): number {
    return (this.degree * at(this.bits, prime)) / 8;
  }

  /** The length of a seeded ciphertext under the first `primes` primes. */
  seededBytes(primes: number): number {
    let sum = SEED_BYTES;
    for (let prime = 0; prime < primes; prime++) sum += this.blockBytes(prime);
    return sum;
  }

  get replyCiphertextBytes(): number {
    return 2 * this.blockBytes(0);
  }
}

const S1 = new ParameterSet("s1", 1, 4096, [68719230977n, 68719403009n, 137438822401n], [36, 36, 37], 40961);
const S3 = new ParameterSet(
  "s3",
  3,
  8192,
  [18014398508138497n, 18014398508400641n, 36028797018652673n],
  [54, 54, 55],
  65537,
);
export const SETS: readonly ParameterSet[] = [S1, S3];

export function named(name: string): ParameterSet {
  const found = SETS.find((one) => one.name === name);
  if (!found) throw new Trouble("other-version");
  return found;
}

/** An element that must be there. */
export function at<T>(list: ArrayLike<T>, index: number): T {
  const found = list[index];
  if (found === undefined) throw new RangeError(`no element ${index}`);
  return found;
}
