/** A model's manifest: what a client needs to encrypt for it and to read its reply (docs/wire-format.md). */

import { sha256, toHex, utf8 } from "./bytes.ts";
import { canonical } from "./canonical.ts";
import { type ParameterSet, named } from "./parameters.ts";
import { Trouble } from "./trouble.ts";

export const ROWS = 0, COLUMNS = 1;
export type Mode = typeof ROWS | typeof COLUMNS;

export interface Feature {
  name: string;
  unit: string;
  edges: number[];
  minimum: number;
  maximum: number;
  mean: number;
}

export interface ManifestFields {
  name: string;
  digest: string;
  parameters: string;
  kind: "trees" | "linear";
  task: "binary" | "multiclass" | "regression";
  features: Feature[];
  edges_per_feature: number;
  input_slots: number;
  plan: number[];
  giant: number;
  blocks: [number, number][][];
  trees: number[];
  columns: number;
  classes: string[];
  scale: number;
  offset: number[];
  link: "logistic" | "softmax" | "identity";
}

export class Manifest {
  readonly set: ParameterSet;

  private constructor(readonly fields: ManifestFields) {
    this.set = named(fields.parameters);
  }

  /** The manifest, where its digest is its own and its sizes fit each other; what else it says is the portal's word. */
  static async from(read: unknown): Promise<Manifest> {
    const { digest, ...rest } = read as ManifestFields;
    if (toHex(await sha256(utf8(canonical(rest)))) !== digest) throw new Trouble("bad-manifest");
    const manifest = new Manifest(read as ManifestFields);
    const { input_slots: slots, plan, features, edges_per_feature: edges } = manifest.fields;
    const fits = [
      Number.isInteger(Math.log2(slots)) && slots >= 256 && slots <= manifest.set.row,
      manifest.inputs >= 1 && manifest.inputs <= slots,
      features.every((one) => one.edges.length <= edges),
      plan.length <= 64 && plan.every((one) => Number.isInteger(Math.log2(one)) && one <= slots),
      manifest.fields.offset.length === manifest.outputs && manifest.fields.columns <= 64,
      manifest.fields.kind === "linear" || manifest.fields.trees.length === manifest.outputs,
    ];
    if (!fits.every(Boolean)) throw new Trouble("bad-manifest");
    return manifest;
  }

  /** Slots that the features take: F·E. */
  get inputs(): number {
    return this.fields.features.length * this.fields.edges_per_feature;
  }

  /** Sums that a reply holds. */
  get outputs(): number {
    return this.fields.task === "multiclass" ? this.fields.classes.length : 1;
  }

  /** How often the input lies in each row of slots. */
  get copies(): number {
    return this.set.row / this.fields.input_slots;
  }

  /** The Galois steps that the model rotates by. */
  get steps(): number[] {
    return this.fields.kind === "linear" ? [] : [this.copies, this.copies * this.fields.giant];
  }

  /** Ciphertexts of a reply: those of one row in mode rows, all of them in mode columns. */
  replyCiphertexts(mode: Mode): number {
    if (this.fields.kind === "linear") return this.outputs;
    if (mode === ROWS) return this.fields.plan.length;
    return 2 * this.fields.columns * this.fields.trees.reduce((sum, one) => sum + one, 0);
  }
}
