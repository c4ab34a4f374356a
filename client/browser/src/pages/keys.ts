/** The page of keys: make, list, export, import, and delete those of this browser. */

import { ask } from "../ask.ts";
import type { KeyShown } from "../core/calls.ts";
import { MAX_EXPORT_BYTES } from "../core/key-export.ts";
import type { Manifest } from "../core/manifest.ts";
import { Trouble } from "../core/trouble.ts";
import { makeKey, serves } from "../keys.ts";
import { during, make, page, say, text, the } from "../page.ts";
import { download } from "../page.ts";
import * as portal from "../portal.ts";

export async function keysPage(): Promise<void> {
  const models = await portal.manifests();
  const makeButton = the("make-keys", HTMLButtonElement), place = the("local-keys", HTMLDivElement);
  const exportButton = the("export-keys", HTMLButtonElement), importButton = the("import-keys", HTMLButtonElement);
  const passphrase = the("passphrase", HTMLInputElement), file = the("import-file", HTMLInputElement);
  let here: KeyShown[] = [];

  const show = async () => {
    here = await ask("list", { user: page.user });
    place.replaceChildren(make("h2", { id: "local-heading" }, text("keys-here")), here.length ? list(here, models, remove) : make("p", {}, text("no-keys-here")));
    exportButton.disabled = here.length === 0;
  };
  const remove = async (key: KeyShown) => {
    if (!confirm(text("really-delete"))) return;
    await ask("remove", { user: page.user, fingerprint: key.fingerprint });
    await show();
    say("key-deleted", {}, "success");
    makeButton.focus();
  };

  makeButton.addEventListener("click", () =>
    during(makeButton, async () => {
      say("stage-making-keys");
      // One set of keys serves every model that asks for the same; what a linear model needs, every key has.
      for (const one of kinds(models)) await makeKey(one.set.name, one.steps, () => undefined);
      say("keys-made", {}, "success");
      location.reload(); // the list of the public ones is the site's
    }),
  );
  exportButton.addEventListener("click", () =>
    during(exportButton, async () => {
      const chosen = document.querySelector<HTMLInputElement>("input[name=local-key]:checked");
      const key = here.find(({ fingerprint }) => fingerprint === chosen?.value) ?? here[0];
      if (!key) return;
      say("sealing");
      const given = { user: page.user, fingerprint: key.fingerprint, passphrase: passphrase.value };
      const content = await ask("export", given);
      passphrase.value = "";
      download(`pericard-key-${key.fingerprint.slice(0, 8)}.json`, content, "application/json");
      say("exported", {}, "success");
    }),
  );
  importButton.addEventListener("click", () =>
    during(importButton, async () => {
      const [chosen] = file.files ?? [];
      if (!chosen) throw new Trouble("choose-file");
      if (chosen.size > MAX_EXPORT_BYTES) throw new Trouble("bad-export");
      say("opening");
      const key = await ask("import", { user: page.user, text: await chosen.text(), passphrase: passphrase.value });
      passphrase.value = file.value = "";
      await show();
      const there = (await portal.keysThere()).some(({ fingerprint }) => fingerprint === key.fingerprint);
      say(there ? "imported" : "imported-but", {}, there ? "success" : "");
    }),
  );
  await show();
  makeButton.disabled = importButton.disabled = file.disabled = false;
  say("ready");
}

/** Models of which one's keys serve each of the others, the fewest. */
function kinds(models: readonly Manifest[]): Manifest[] {
  const kept: Manifest[] = [];
  for (const one of [...models].sort((first, second) => second.steps.length - first.steps.length)) {
    const served = kept.some((other) => other.set.name === one.set.name && one.steps.every((step) => other.steps.includes(step)));
    if (!served) kept.push(one);
  }
  return kept;
}

function list(here: readonly KeyShown[], models: readonly Manifest[], remove: (key: KeyShown) => Promise<void>): HTMLElement {
  const lines = here.map((key, index) => {
    const id = `local-key-${index}`, short = key.fingerprint.slice(0, 16);
    const radio = make("input", { type: "radio", name: "local-key", id, value: key.fingerprint });
    radio.checked = index === 0;
    const made = new Date(key.made).toLocaleString(document.documentElement.lang);
    const served = models.filter((one) => serves(key, one)).map(({ fields }) => fields.name).join(", ");
    const button = make("button", { type: "button", class: "danger", "aria-label": text("delete-key", { name: key.fingerprint.slice(0, 8) }) }, text("delete"));
    button.addEventListener("click", () => during(button, () => remove(key)));
    const name = make("label", { for: id }, make("code", {}, `${short}…`));
    return make("li", { "data-local-key": key.fingerprint, class: "actions" }, radio, name, make("span", { class: "quiet" }, `${made} ${served ? text("serves", { models: served }) : ""}`), button);
  });
  return make("ul", { "aria-labelledby": "local-heading" }, ...lines);
}
