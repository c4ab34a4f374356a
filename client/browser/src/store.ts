/**
 * The secret keys of this browser, in IndexedDB, each sealed with AES-GCM under a key that no script can export.
 *
 * So a copy of what scripts see of the database holds no secret key. It does not protect against a script of this
 * site's own origin, which can ask for the opened key as this one does, against who reads the browser's files (the
 * browser keeps that key there, too), or against who uses this browser. Keys are filed by user, which is order and
 * no protection.
 */

import { utf8 } from "./core/bytes.ts";
import type { KeyShown } from "./core/calls.ts";
import { type SecretKey, packSecret, unpackSecret } from "./core/secret.ts";
import { Trouble } from "./core/trouble.ts";

interface Filed extends KeyShown {
  user: string;
  sealing: CryptoKey; // of this one key; never exported
  nonce: Uint8Array<ArrayBuffer>;
  sealed: ArrayBuffer;
}

const KEYS = "keys";

export class Store {
  private constructor(private readonly database: IDBDatabase) {}

  static async open(): Promise<Store> {
    const asked = indexedDB.open("pericard", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(KEYS, { keyPath: ["user", "fingerprint"] });
    try {
      return new Store(await done(asked));
    } catch {
      throw new Trouble("no-store");
    }
  }

  async list(user: string): Promise<KeyShown[]> {
    const range = IDBKeyRange.bound([user, ""], [user, "g"]); // fingerprints are hexadecimal
    const found: Filed[] = await done(this.keys("readonly").getAll(range));
    return found.sort((one, other) => other.made - one.made).map(shown);
  }

  async add(user: string, secret: SecretKey, shared: Uint8Array<ArrayBuffer> | null): Promise<KeyShown> {
    const sealing = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
    const nonce = crypto.getRandomValues(new Uint8Array(12)); // the only one under this key
    const { set, steps, fingerprint } = secret;
    const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv: nonce, additionalData: utf8(fingerprint) }, sealing, packSecret(secret));
    const filed: Filed = { user, set, steps, fingerprint, made: Date.now(), shared, sealing, nonce, sealed };
    await done(this.keys("readwrite").put(filed));
    return shown(filed);
  }

  async secret(user: string, fingerprint: string): Promise<SecretKey> {
    const filed: Filed | undefined = await done(this.keys("readonly").get([user, fingerprint]));
    if (!filed) throw new Trouble("no-key", { fingerprint: fingerprint.slice(0, 8) });
    const how = { name: "AES-GCM", iv: filed.nonce, additionalData: utf8(fingerprint) };
    return unpackSecret(filed, new Uint8Array(await crypto.subtle.decrypt(how, filed.sealing, filed.sealed)));
  }

  async remove(user: string, fingerprint: string): Promise<void> {
    await done(this.keys("readwrite").delete([user, fingerprint]));
  }

  private keys(mode: IDBTransactionMode): IDBObjectStore {
    return this.database.transaction(KEYS, mode).objectStore(KEYS);
  }
}

function shown({ set, steps, fingerprint, made, shared }: Filed): KeyShown {
  return { set, steps, fingerprint, made, shared };
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
