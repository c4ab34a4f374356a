/** The page of a model: features in, an answer out, and nothing but ciphertexts between. */

import { shown } from "../answers.ts";
import { ask } from "../ask.ts";
import { Manifest, type ManifestFields } from "../core/manifest.ts";
import { MAX_TABLE_BYTES, isFar, parseTable } from "../core/table.ts";
import { Trouble } from "../core/trouble.ts";
import { keyFor } from "../keys.ts";
import { complain, during, make, page, say, text, the } from "../page.ts";
import * as portal from "../portal.ts";

export async function predictPage(): Promise<void> {
  const fields: ManifestFields = JSON.parse(the("manifest", HTMLScriptElement).textContent);
  const manifest = await Manifest.from(fields);
  const button = the("predict", HTMLButtonElement), file = the("row-file", HTMLInputElement);
  const inputs = [...document.querySelectorAll<HTMLInputElement>("input[data-feature]")];
  let table: number[][] | null = null;

  file.addEventListener("change", async () => {
    try {
      table = null;
      const [chosen] = file.files ?? [];
      if (!chosen) return;
      if (chosen.size > MAX_TABLE_BYTES) throw new Trouble("large-table");
      const { rows, ignored } = parseTable(await chosen.text(), manifest);
      // One row is shown in the form, where it can be changed; more are taken as they are.
      if (rows.length === 1) inputs.forEach((input, index) => (input.value = String(rows[0]![index])));
      else table = rows;
      say(ignored.length ? "rows-taken-but" : "rows-taken", { count: rows.length, columns: ignored.join(", ") }, "success");
    } catch (error) {
      file.value = "";
      complain(error);
    }
  });
  for (const input of inputs)
    input.addEventListener("input", () => {
      if (table) say("form-instead");
      table = null;
      file.value = "";
    });

  the("features", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    void during(button, () => predict(manifest, table ?? [formRow(inputs, manifest)]));
  });
  button.disabled = file.disabled = false;
  say("ready");
}

function formRow(inputs: readonly HTMLInputElement[], manifest: Manifest): number[] {
  return inputs.map((input, index) => {
    const value = input.valueAsNumber, feature = manifest.fields.features[index]!, place = { row: 1, column: feature.name };
    const trouble = Number.isFinite(value) ? (isFar(value, feature) ? "far-value" : "") : "no-number";
    if (!trouble) return value;
    input.focus();
    throw new Trouble(trouble, { ...place, value, minimum: feature.minimum, maximum: feature.maximum });
  });
}

async function predict(manifest: Manifest, rows: number[][]): Promise<void> {
  const bar = the("predict-progress", HTMLProgressElement), stage = the("predict-stage", HTMLParagraphElement);
  const answers = the("answer", HTMLDivElement), { fields } = manifest;
  const step = (code: string, done = 0) => {
    const said = text(code);
    if (stage.textContent !== said) stage.textContent = said; // it is read aloud at every change
    bar.value = done;
  };
  the("answer-section", HTMLElement).hidden = false;
  bar.hidden = false;
  answers.replaceChildren();
  say("working");
  try {
    step("stage-keys");
    const key = await keyFor(manifest, () => step("stage-making-keys"), (done) => step("stage-sending-keys", done));
    const whose = { user: page.user, fingerprint: key.fingerprint, manifest: fields };
    step("stage-encrypting");
    const query = await ask("encrypt", { ...whose, rows }, (done) => step("stage-encrypting", done));
    step("stage-sending");
    const sent = await portal.sendQuery(fields.name, key.id, query, (done) => step("stage-sending", done));
    const job = await portal.finished(sent, ({ state, progress }) => step(state === "queued" ? "stage-waiting" : "stage-computing", progress));
    step("stage-fetching");
    const reply = await portal.result(job.id);
    const found = await ask("open", { ...whose, reply }, (done) => step("stage-decrypting", done));
    step("stage-done", 1);
    const save = make("a", { class: "button plain", href: `/jobs/${job.id}/result/`, download: "" }, text("download-encrypted"));
    const sizes = make("p", { class: "quiet" }, text("sizes", { sent: query.length, got: reply.length }));
    answers.replaceChildren(...shown(found, fields), sizes, make("div", { class: "actions" }, save));
    the("seen-link", HTMLAnchorElement).href = `/what-the-server-saw/${job.id}/`;
    document.getElementById("no-keys")?.remove();
    say("done", {}, "success");
    const heading = the("answer-heading", HTMLHeadingElement);
    heading.tabIndex = -1;
    heading.focus();
  } catch (error) {
    stage.textContent = "";
    throw error;
  } finally {
    bar.hidden = true;
  }
}
