/** What the page asks of the Worker, and what comes back. No secret key is in any of it. */

import type { Answer } from "./geometry.ts";
import type { ManifestFields } from "./manifest.ts";
import type { KeyName } from "./secret.ts";
import type { Values } from "./trouble.ts";

/** A key as the page knows it. `shared` is the container of its public keys; an imported key has none. */
export interface KeyShown extends KeyName {
  made: number;
  shared: Uint8Array<ArrayBuffer> | null;
}

export interface Calls {
  list: { given: { user: string }; got: KeyShown[] };
  make: { given: { user: string; set: string; steps: number[] }; got: KeyShown };
  remove: { given: { user: string; fingerprint: string }; got: null };
  export: { given: { user: string; fingerprint: string; passphrase: string }; got: string };
  import: { given: { user: string; text: string; passphrase: string }; got: KeyShown };
  encrypt: {
    given: { user: string; fingerprint: string; manifest: ManifestFields; rows: number[][] };
    got: Uint8Array<ArrayBuffer>;
  };
  open: { given: { user: string; fingerprint: string; manifest: ManifestFields; reply: Uint8Array }; got: Answer[] };
}
export type Operation = keyof Calls;

export interface Request {
  id: number;
  operation: Operation;
  given: Calls[Operation]["given"];
}

export type Report =
  | { id: number; progress: number }
  | { id: number; got: Calls[Operation]["got"] }
  | { id: number; trouble: string; values: Values };
