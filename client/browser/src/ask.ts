/** The page's end of the Worker. */

import type { Calls, Operation, Report } from "./core/calls.ts";
import { Trouble } from "./core/trouble.ts";
import workerAddress from "./worker.ts?worker&url";

interface Waiting {
  resolve: (got: never) => void;
  reject: (error: unknown) => void;
  progress: (done: number) => void;
}

// The site's policy wants scripts' addresses to come from a policy of Trusted Types; this one allows one address.
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(address: string): string }): { createScriptURL(address: string): string };
}
const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
const rules = {
  createScriptURL(address: string): string {
    if (address !== workerAddress) throw new TypeError("not the Worker's address");
    return address;
  },
};
const policy = trustedTypes ? trustedTypes.createPolicy("pericard-worker", rules) : rules;

const waiting = new Map<number, Waiting>();
let worker: Worker | undefined, last = 0;

function started(): Worker {
  if (worker) return worker;
  worker = new Worker(policy.createScriptURL(workerAddress), { type: "module" });
  worker.onmessage = ({ data }: MessageEvent<Report>) => {
    const one = waiting.get(data.id);
    if (!one) return;
    if ("progress" in data) return one.progress(data.progress);
    waiting.delete(data.id);
    if ("got" in data) one.resolve(data.got as never);
    else one.reject(new Trouble(data.trouble, data.values));
  };
  worker.onerror = () => {
    for (const one of waiting.values()) one.reject(new Trouble("failed"));
    waiting.clear();
    worker = undefined;
  };
  return worker;
}

/** Has the Worker do something. */
export function ask<K extends Operation>(operation: K, given: Calls[K]["given"], progress: (done: number) => void = () => undefined): Promise<Calls[K]["got"]> {
  const id = ++last;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject, progress });
    started().postMessage({ id, operation, given });
  });
}
