/** Tables of features, CSV or JSON, checked against a manifest: what is wrong is named by row and column. */

import type { Feature, Manifest } from "./manifest.ts";
import { MAX_ROWS } from "./objects.ts";
import { Trouble } from "./trouble.ts";

export const MAX_TABLE_BYTES = 16 << 20;

/** The rows of a table, in the manifest's order; columns that the model does not have are left out and named. */
export function parseTable(text: string, manifest: Manifest): { rows: number[][]; ignored: string[] } {
  const begins = text.trimStart().charAt(0);
  const table = begins === "{" || begins === "[" ? fromJson(text) : fromCsv(text);
  if (table.length === 0) throw new Trouble("empty-table");
  if (table.length > MAX_ROWS) throw new Trouble("too-many-rows", { most: MAX_ROWS });
  const known = new Set(manifest.fields.features.map(({ name }) => name));
  const ignored = [...table[0]!.keys()].filter((name) => !known.has(name));
  const rows = table.map((row, index) => manifest.fields.features.map((one) => value(row, one, index + 1)));
  return { rows, ignored };
}

function value(row: Map<string, unknown>, feature: Feature, number: number): number {
  const place = { row: number, column: feature.name };
  if (!row.has(feature.name)) throw new Trouble("missing-column", place);
  const held = row.get(feature.name);
  const text = typeof held === "string" ? held.trim() : held;
  if (text === "" || text === null) throw new Trouble("missing-value", place);
  // Number() reads texts such as 0x10, which nobody means in a table.
  const decimal = typeof text === "number" || (typeof text === "string" && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text));
  const read = decimal ? Number(text) : Number.NaN;
  if (!Number.isFinite(read)) throw new Trouble("no-number", place);
  if (isFar(read, feature)) throw new Trouble("far-value", { ...place, value: read, minimum: feature.minimum, maximum: feature.maximum });
  return read;
}

/** Whether a value lies as far again from the training data as those reached: most often another unit. */
export function isFar(read: number, { minimum, maximum }: Feature): boolean {
  const reach = Math.max(maximum - minimum, Math.abs(maximum), 1e-9);
  return read < minimum - reach || read > maximum + reach;
}

function fromJson(text: string): Map<string, unknown>[] {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    throw new Trouble("no-json");
  }
  return (Array.isArray(read) ? read : [read]).map((row: unknown) => {
    if (!row || typeof row !== "object" || Array.isArray(row)) throw new Trouble("no-json");
    return new Map(Object.entries(row));
  });
}

function fromCsv(text: string): Map<string, unknown>[] {
  const [head, ...lines] = csv(text);
  const names = (head ?? []).map((name) => name.trim());
  if (new Set(names).size !== names.length) throw new Trouble("column-twice");
  return lines.map((line, index) => {
    if (line.length !== names.length) throw new Trouble("short-line", { row: index + 1 });
    return new Map(line.map((one, column) => [names[column]!, one]));
  });
}

/** RFC 4180: fields between commas, in quotes where they hold some; empty lines are left out. */
function csv(text: string): string[][] {
  const lines: string[][] = [];
  let line: string[] = [], field = "", quoted = false, begun = false;
  const endField = () => {
    line.push(field);
    field = "";
    begun = false;
  };
  const endLine = () => {
    endField();
    if (line.length > 1 || line[0] !== "") lines.push(line);
    line = [];
  };
  const letters = text.replace(/^\ufeff/, "");
  for (let i = 0; i < letters.length; i++) {
    const letter = letters[i]!;
    if (quoted) {
      if (letter !== '"') field += letter;
      else if (letters[i + 1] === '"') {
        field += '"';
        i++;
      } else quoted = false;
    } else if (letter === '"' && !begun) quoted = begun = true;
    else if (letter === ",") endField();
    else if (letter === "\n") endLine();
    else if (letter !== "\r") {
      field += letter;
      begun = true;
    }
  }
  if (quoted) throw new Trouble("open-quote");
  if (field || line.length) endLine();
  return lines;
}
