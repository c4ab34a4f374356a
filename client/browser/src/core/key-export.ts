/**
 * The file of a secret key, sealed under a passphrase (Argon2id, AES-256-GCM): pericard-key-export/1 of
 * docs/wire-format.md, which the client kit reads and writes, too.
 */

import { argon2id } from "hash-wasm";
import { fromBase64, toBase64, utf8 } from "./bytes.ts";
import { canonical } from "./canonical.ts";
import { SETS } from "./parameters.ts";
import { type SecretKey, packSecret, unpackSecret } from "./secret.ts";
import { Trouble } from "./trouble.ts";

export const SHORTEST = 12; // characters of a passphrase for a new export
export const MAX_EXPORT_BYTES = 1 << 20;
const FORMAT = "pericard-key-export/1";
// RFC 9106, section 4: its second recommendation, for where 2 GiB are not free, as in a browser.
const KDF = { algorithm: "argon2id", memory: 65536, iterations: 3, lanes: 4 } as const;

interface Derivation {
  algorithm: "argon2id";
  salt: string;
  memory: number;
  iterations: number;
  lanes: number;
}

interface Export {
  format: typeof FORMAT;
  set: string;
  steps: number[];
  fingerprint: string;
  kdf: Derivation;
  nonce: string;
  sealed: string;
}

/** The file's content. */
export async function sealKey(secret: SecretKey, passphrase: string): Promise<string> {
  if ([...passphrase].length < SHORTEST) throw new Trouble("short-passphrase", { least: SHORTEST });
  const kdf = { ...KDF, salt: toBase64(crypto.getRandomValues(new Uint8Array(16))) };
  // The salt is fresh, and so the key: no nonce comes twice under it.
  const nonce = crypto.getRandomValues(new Uint8Array(12));
  const { set, steps, fingerprint } = secret;
  const bare = { format: FORMAT, set, steps, fingerprint, kdf, nonce: toBase64(nonce) } as const;
  const key = await derive(kdf, passphrase);
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce, additionalData: utf8(canonical(bare)) }, key, packSecret(secret));
  return `${JSON.stringify({ ...bare, sealed: toBase64(new Uint8Array(sealed)) }, null, 1)}\n`;
}

/** The key that such a file holds. */
export async function openKey(text: string, passphrase: string): Promise<SecretKey> {
  const { sealed, ...bare } = parse(text);
  const key = await derive(bare.kdf, passphrase);
  let blocks: ArrayBuffer;
  try {
    const how = { name: "AES-GCM", iv: fromBase64(bare.nonce), additionalData: utf8(canonical(bare)) };
    blocks = await crypto.subtle.decrypt(how, key, fromBase64(sealed));
  } catch {
    throw new Trouble("wrong-passphrase");
  }
  return unpackSecret(bare, new Uint8Array(blocks));
}

function parse(text: string): Export {
  try {
    if (text.length > MAX_EXPORT_BYTES) throw new RangeError("too large");
    const read = JSON.parse(text) as Export, { kdf } = read;
    // What a file asks the derivation to cost is bounded: cheaper could be guessed, dearer would stop this machine.
    const fits = [
      read.format === FORMAT && SETS.some(({ name }) => name === read.set),
      Array.isArray(read.steps) && read.steps.length <= 2 && read.steps.every((one) => Number.isInteger(one) && one >= 1 && one <= 4095),
      /^[0-9a-f]{64}$/.test(read.fingerprint) && kdf.algorithm === "argon2id",
      within(kdf.memory, 19456, 1 << 20) && within(kdf.iterations, 2, 16) && within(kdf.lanes, 1, 16),
      fromBase64(kdf.salt).length === 16 && fromBase64(read.nonce).length === 12 && typeof read.sealed === "string",
      Object.keys(read).length === 7 && Object.keys(kdf).length === 5,
    ];
    if (!fits.every(Boolean)) throw new RangeError("out of bounds");
    return read;
  } catch {
    throw new Trouble("bad-export");
  }
}

function within(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}

/** The sealing key. The passphrase is normalised, so that every keyboard gives the same bytes. */
async function derive(kdf: Derivation, passphrase: string): Promise<CryptoKey> {
  const bytes = await argon2id({
    password: utf8(passphrase.normalize("NFKC")),
    salt: fromBase64(kdf.salt),
    memorySize: kdf.memory,
    iterations: kdf.iterations,
    parallelism: kdf.lanes,
    hashLength: 32,
    outputType: "binary",
  });
  return crypto.subtle.importKey("raw", bytes as Uint8Array<ArrayBuffer>, "AES-GCM", false, ["encrypt", "decrypt"]);
}
