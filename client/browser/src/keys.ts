/** Keys that serve a model: one that is here and at the portal; made, or sent, where there is none. */

import { ask } from "./ask.ts";
import type { KeyShown } from "./core/calls.ts";
import type { Manifest } from "./core/manifest.ts";
import { page } from "./page.ts";
import * as portal from "./portal.ts";

/** Whether queries under this key can be evaluated by the model. */
export function serves(key: KeyShown, manifest: Manifest): boolean {
  return key.set === manifest.set.name && manifest.steps.every((step) => key.steps.includes(step));
}

/** Makes a key and sends its public part. */
export async function makeKey(set: string, steps: number[], progress: (done: number) => void): Promise<portal.KeysThere> {
  const made = await ask("make", { user: page.user, set, steps });
  try {
    return await portal.sendKeys(made.shared!, progress);
  } catch (error) {
    await ask("remove", { user: page.user, fingerprint: made.fingerprint }); // of no use without its public part
    throw error;
  }
}

export async function keyFor(manifest: Manifest, making: () => void, progress: (done: number) => void): Promise<portal.KeysThere> {
  const [here, there] = await Promise.all([ask("list", { user: page.user }), portal.keysThere()]);
  const serving = here.filter((one) => serves(one, manifest));
  for (const key of serving) {
    const found = there.find(({ fingerprint }) => fingerprint === key.fingerprint);
    if (found) return found;
  }
  making();
  const kept = serving.find(({ shared }) => shared !== null);
  if (kept?.shared) return portal.sendKeys(kept.shared, progress);
  return makeKey(manifest.set.name, manifest.steps, progress);
}
