/** Where a client's bits lie in the slots, and how it reads a reply (docs/wire-format.md, section 5). */

import type { Manifest } from "./manifest.ts";
import { at } from "./parameters.ts";
import { Trouble } from "./trouble.ts";

export interface Scores {
  zeros: number[];
  sums: number[];
}

export interface Answer {
  label: string | null;
  probabilities: number[];
  value: number | null;
  margins: number[];
}

/** The input's bits of one row of data: bit e of a feature is 1 where the value is above its edge e. */
export function thermometer(row: readonly number[], manifest: Manifest): Uint32Array {
  const { features, edges_per_feature: width } = manifest.fields;
  const bits = new Uint32Array(manifest.inputs);
  features.forEach(({ edges }, feature) =>
    edges.forEach((edge, index) => {
      bits[feature * width + index] = at(row, feature) > edge ? 1 : 0;
    }),
  );
  return bits;
}

/** The slots of one row of data in mode rows: input slot d at d·c + i for each copy i, in both rows of slots. */
export function slots(bits: Uint32Array, manifest: Manifest): Uint32Array {
  const spread = new Uint32Array(manifest.set.degree), { copies } = manifest;
  bits.forEach((bit, slot) => {
    for (const start of [0, manifest.set.row]) spread.fill(bit, start + slot * copies, start + (slot + 1) * copies);
  });
  return spread;
}

/** The slots of ciphertext `input` in mode columns: row r of the data is in slot r. */
export function column(rows: readonly Uint32Array[], input: number, manifest: Manifest): Uint32Array {
  const spread = new Uint32Array(manifest.set.degree);
  rows.forEach((bits, row) => {
    spread[row] = at(bits, input);
  });
  return spread;
}

/** What the decrypted slots of one row's reply say, in mode rows. */
export function read(decoded: readonly Uint32Array[], manifest: Manifest): Scores {
  const { plain: t, row } = manifest.set, { kind, plan, input_slots: inputSlots, blocks } = manifest.fields;
  if (kind === "linear")
    return {
      zeros: decoded.map(() => 0),
      sums: decoded.map((one) => centred(one.reduce((sum, share) => sum + share, 0), t)),
    };
  const places: [number, number][] = [];
  decoded.forEach((one, index) => {
    const diagonals = at(plan, index), capacity = manifest.copies * diagonals;
    for (let place = 0; place < capacity; place++) {
      let first = 0, second = 0;
      for (let share = 0; share < inputSlots / diagonals; share++) {
        first += at(one, share * capacity + place);
        second += at(one, row + share * capacity + place);
      }
      places.push([first % t, second % t]);
    }
  });
  const reached = blocks.map((block) => block.flatMap(([low, high]) => places.slice(low, high)).filter(([first]) => first === 0));
  return {
    zeros: reached.map((one) => one.length),
    sums: reached.map((one) => centred(one.reduce((sum, [, second]) => sum + second, 0), t)),
  };
}

/** What the decrypted slots of a reply in mode columns say of data row `row`. */
export function readColumn(decoded: readonly Uint32Array[], manifest: Manifest, row: number): Scores {
  const { plain: t } = manifest.set, { kind, trees, columns } = manifest.fields;
  if (kind === "linear") return { zeros: decoded.map(() => 0), sums: decoded.map((one) => centred(at(one, row), t)) };
  let tree = 0;
  const zeros: number[] = [], sums: number[] = [];
  for (const count of trees) {
    let reached = 0, sum = 0;
    for (const end = tree + count; tree < end; tree++)
      for (let leaf = 0; leaf < columns; leaf++)
        if (at(at(decoded, 2 * tree * columns + leaf), row) === 0) {
          reached += 1;
          sum += at(at(decoded, (2 * tree + 1) * columns + leaf), row);
        }
    zeros.push(reached);
    sums.push(centred(sum, t));
  }
  return { zeros, sums };
}

/** Refuses a reading in which not every tree reached one leaf: the reply opens to nothing under this key. */
export function check(scores: Scores, manifest: Manifest): void {
  const { kind, trees } = manifest.fields;
  if (kind === "trees" && scores.zeros.some((zeros, output) => zeros !== trees[output])) throw new Trouble("does-not-open");
}

/** What the sums of one row mean. */
export function answer(sums: readonly number[], manifest: Manifest): Answer {
  const { scale, offset, task, link, classes } = manifest.fields;
  const margins = sums.map((sum, output) => sum / scale + at(offset, output));
  const first = at(margins, 0);
  if (task === "regression") return { label: null, probabilities: [], value: first, margins };
  if (link === "logistic") {
    const small = Math.exp(-Math.abs(first)), likely = 1 / (1 + small);
    const positive = first >= 0 ? likely : small * likely;
    return { label: at(classes, first > 0 ? 1 : 0), probabilities: [1 - positive, positive], value: null, margins };
  }
  const most = Math.max(...margins), label = at(classes, margins.indexOf(most));
  if (link === "identity") return { label, probabilities: [], value: null, margins };
  const weights = margins.map((margin) => Math.exp(margin - most));
  const total = weights.reduce((sum, one) => sum + one, 0);
  return { label, probabilities: weights.map((one) => one / total), value: null, margins };
}

/** A residue modulo t as a number between -t/2 and t/2. */
function centred(sum: number, t: number): number {
  const residue = sum % t;
  return residue > Math.floor(t / 2) ? residue - t : residue;
}
