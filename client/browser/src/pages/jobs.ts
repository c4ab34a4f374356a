/** The page of jobs: opens the results whose keys are in this browser. */

import { shown } from "../answers.ts";
import { ask } from "../ask.ts";
import { Trouble } from "../core/trouble.ts";
import { during, page, say } from "../page.ts";
import * as portal from "../portal.ts";

export async function jobsPage(): Promise<void> {
  for (const button of document.querySelectorAll<HTMLButtonElement>("button[data-open-job]")) {
    button.addEventListener("click", () => during(button, () => open(button)));
    button.disabled = false;
  }
  say("ready");
}

async function open(button: HTMLButtonElement): Promise<void> {
  const job = button.dataset.openJob ?? "";
  const { model = "", digest, fingerprint = "" } = button.closest("tr")?.dataset ?? {};
  const manifest = await portal.manifestOf(model);
  if (manifest.digest !== digest) throw new Trouble("other-model");
  say("stage-decrypting");
  const reply = await portal.result(job);
  const answers = await ask("open", { user: page.user, fingerprint, manifest, reply });
  document.querySelector(`[data-answer-of="${job}"]`)?.replaceChildren(...shown(answers, manifest));
  say("done", {}, "success");
}
