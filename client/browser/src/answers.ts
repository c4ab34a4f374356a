/** Answers as a person reads them: [0.128 0.872], a label, a bar for each class; a table where there are many. */

import type { Answer } from "./core/geometry.ts";
import type { ManifestFields } from "./core/manifest.ts";
import { download, make, number, text } from "./page.ts";

const SHOWN_ROWS = 200;

/** The probabilities, to three places: [0.128 0.872]. */
function vector(probabilities: readonly number[]): string {
  return `[${probabilities.map((one) => one.toFixed(3)).join(" ")}]`;
}

export function shown(answers: readonly Answer[], manifest: ManifestFields): Node[] {
  return answers.length === 1 ? single(answers[0]!, manifest) : several(answers, manifest);
}

function single(answer: Answer, { classes }: ManifestFields): Node[] {
  const said = answer.label ?? number(answer.value ?? 0);
  const nodes: Node[] = [make("p", {}, make("strong", { "data-label": said }, said))];
  if (!answer.probabilities.length) return nodes;
  nodes.push(make("p", {}, make("code", { "data-probabilities": JSON.stringify(answer.probabilities) }, vector(answer.probabilities))));
  answer.probabilities.forEach((probability, index) => {
    const label = `${classes[index]}: ${(100 * probability).toFixed(1)} %`;
    const bar = make("progress", { max: "1", value: String(probability), "aria-label": label });
    nodes.push(make("p", {}, label, make("br"), bar));
  });
  return nodes;
}

function several(answers: readonly Answer[], manifest: ManifestFields): Node[] {
  const head = [text("row"), text("answer"), ...(manifest.classes.length ? [text("probabilities")] : [])];
  const lines = answers.slice(0, SHOWN_ROWS).map((one, index) => {
    const said = one.label ?? number(one.value ?? 0);
    const cells = [String(index + 1), said, ...(one.probabilities.length ? [vector(one.probabilities)] : [])];
    return make("tr", { "data-label": said }, ...cells.map((cell) => make("td", {}, cell)));
  });
  const table = make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...head.map((one) => make("th", { scope: "col" }, one)))),
    make("tbody", {}, ...lines),
  );
  const save = make("button", { type: "button", class: "plain" }, text("save-answers"));
  save.addEventListener("click", () => download(`${manifest.name}.csv`, csv(answers, manifest), "text/csv"));
  const more = answers.length > SHOWN_ROWS ? [make("p", {}, text("more-rows", { count: answers.length - SHOWN_ROWS }))] : [];
  return [make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": text("answer") }, table), ...more, make("div", { class: "actions" }, save)];
}

function csv(answers: readonly Answer[], { classes }: ManifestFields): string {
  const quoted = (one: string) => (/[",\n]/.test(one) ? `"${one.replaceAll('"', '""')}"` : one);
  const head = ["answer", ...classes].map(quoted).join(",");
  const lines = answers.map((one) => [quoted(one.label ?? String(one.value)), ...one.probabilities].join(","));
  return `${[head, ...lines].join("\r\n")}\r\n`;
}
