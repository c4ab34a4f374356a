/** Key generation, encryption and decryption with node-seal. What it makes lies in WebAssembly's memory, and is deleted here. */

import type { CipherText } from "node-seal/implementation/cipher-text";
import type { PlainText } from "node-seal/implementation/plain-text";
import type { SEALLibrary } from "node-seal/implementation/seal";
import { toHex } from "./bytes.ts";
import * as geometry from "./geometry.ts";
import { COLUMNS, type Manifest, type Mode, ROWS } from "./manifest.ts";
import * as objects from "./objects.ts";
import { join } from "./bytes.ts";
import { type ParameterSet, at, named } from "./parameters.ts";
import * as sealBytes from "./seal-bytes.ts";
import type { SecretKey } from "./secret.ts";
import { Trouble } from "./trouble.ts";

export type Progress = (done: number) => void; // 0 to 1

interface Deletable {
  delete(): void;
}

/** Deletes what was made in it, the newest first, however it ends. */
class Scope {
  private readonly held: Deletable[] = [];

  keep<T extends Deletable>(one: T): T {
    this.held.push(one);
    return one;
  }

  close(): void {
    while (this.held.length) this.held.pop()?.delete();
  }
}

function within<T>(work: (scope: Scope) => T): T {
  const scope = new Scope();
  try {
    return work(scope);
  } finally {
    scope.close();
  }
}

export class Engine {
  constructor(private readonly seal: SEALLibrary) {}

  /** Fresh keys: the secret one, and the container of the public ones, which the cloud needs. */
  async makeKeys(set: ParameterSet, steps: readonly number[]): Promise<{ secret: SecretKey; keys: Uint8Array<ArrayBuffer> }> {
    const { words, keys } = within((scope) => {
      const generator = scope.keep(this.seal.KeyGenerator(this.context(scope, set)));
      const plain = this.seal.ComprModeType.none;
      const words = sealBytes.secretWords(scope.keep(generator.secretKey()).saveArray(plain), set);
      const written = scope.keep(generator.createPublicKeySerializable()).saveArray(plain);
      const galois = steps.length
        ? sealBytes.galoisParts(scope.keep(generator.createGaloisKeysSerializable(Int32Array.from(steps))).saveArray(plain), set, steps)
        : [];
      const publicKey = sealBytes.seeded(written, set, set.primes.length);
      const keys = objects.joinKeys(set, publicKey, steps.map((step, index) => ({ step, parts: at(galois, index) })));
      return { words, keys };
    });
    const fingerprint = toHex(await objects.fingerprint(keys));
    return { secret: { set: set.name, steps: [...steps], fingerprint, words }, keys };
  }

  /** The query container for rows of data. */
  encrypt(secret: SecretKey, manifest: Manifest, rows: readonly (readonly number[])[], mode: Mode, progress: Progress, keys: Uint8Array): Uint8Array<ArrayBuffer> {
    if (!serves(secret, manifest)) throw new Trouble("other-keys");
    const { set } = manifest;
    return within((scope) => {
      const context = this.context(scope, set), key = this.secretKey(scope, context, secret);
      // Encryption is symmetric, which halves what travels; node-seal wants a public key all the same.
      const generator = scope.keep(this.seal.KeyGenerator(context, key));
      const encryptor = scope.keep(this.seal.Encryptor(context, scope.keep(generator.createPublicKey()), key));
      const encoder = scope.keep(this.seal.BatchEncoder(context));
      const bits = rows.map((row) => geometry.thermometer(row, manifest));
      const count = mode === ROWS ? rows.length : manifest.inputs;
      const parts = [objects.queryHead(manifest, mode, rows.length, keys)];
      for (let index = 0; index < count; index++) {
        const slots = mode === COLUMNS ? geometry.column(bits, index, manifest) : geometry.slots(at(bits, index), manifest);
        within((one) => {
          const encoded = one.keep(encoder.encode(slots) as PlainText);
          const written = one.keep(encryptor.encryptSymmetricSerializable(encoded)).saveArray(this.seal.ComprModeType.none);
          parts.push(objects.packed(set, sealBytes.seeded(written, set, set.dataPrimes)));
        });
        progress((index + 1) / count);
      }
      return join(parts);
    });
  }

  /** The answers that a reply holds, one a row of data. */
  open(secret: SecretKey, manifest: Manifest, data: Uint8Array, progress: Progress, keys: Uint8Array): geometry.Answer[] {
    const reply = objects.parseReply(data, manifest, keys);
    return within((scope) => {
      const context = this.context(scope, manifest.set);
      const decryptor = scope.keep(this.seal.Decryptor(context, this.secretKey(scope, context, secret)));
      const encoder = scope.keep(this.seal.BatchEncoder(context));
      const hash = identity(scope.keep(context.lastParmsId).values);
      const total = reply.count * (reply.mode === ROWS ? reply.rows : 1);
      const decrypted = (index: number): Uint32Array =>
        within((one) => {
          const ciphertext: CipherText = one.keep(this.seal.CipherText());
          ciphertext.loadArray(context, sealBytes.replyCiphertext(manifest.set, hash, reply.ciphertext(index)));
          const plain = one.keep(decryptor.decrypt(ciphertext) as PlainText);
          progress((index + 1) / total);
          return encoder.decode(plain, false) as Uint32Array;
        });
      const several = (start: number) => Array.from({ length: reply.count }, (_, index) => decrypted(start + index));
      const columns = reply.mode === COLUMNS ? several(0) : [];
      return Array.from({ length: reply.rows }, (_, row) => {
        const scores =
          reply.mode === COLUMNS
            ? geometry.readColumn(columns, manifest, row)
            : geometry.read(several(row * reply.count), manifest);
        geometry.check(scores, manifest);
        return geometry.answer(scores.sums, manifest);
      });
    });
  }

  private context(scope: Scope, set: ParameterSet) {
    const { seal } = this;
    const chosen = scope.keep(seal.EncryptionParameters(seal.SchemeType.bfv));
    chosen.setPolyModulusDegree(set.degree);
    chosen.setCoeffModulus(scope.keep(seal.CoeffModulus.Create(set.degree, Int32Array.from(set.bits))));
    chosen.setPlainModulus(scope.keep(seal.Modulus(BigInt(set.plain))));
    if (chosen.coeffModulus.some((prime, index) => prime !== set.primes[index])) throw new Trouble("other-version");
    const context = scope.keep(seal.Context(chosen, true, seal.SecurityLevel.tc128));
    if (!context.parametersSet()) throw new Trouble("other-version");
    return context;
  }

  private secretKey(scope: Scope, context: ReturnType<SEALLibrary["Context"]>, secret: SecretKey) {
    const key = scope.keep(this.seal.SecretKey());
    const hash = identity(scope.keep(context.keyParmsId).values);
    key.loadArray(context, sealBytes.secretKey(named(secret.set), hash, secret.words));
    return key;
  }
}

/** Whether queries under this key can be evaluated by the model. */
export function serves(key: { set: string; steps: readonly number[] }, manifest: Manifest): boolean {
  return key.set === manifest.set.name && manifest.steps.every((step) => key.steps.includes(step));
}

/** SEAL's name of a level of parameters, as it stands in its files. */
function identity(values: BigUint64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
