/** The codec against tests/vectors/prediction, which the product's code did not make. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fromHex, join, sha256, toHex } from "../src/core/bytes.ts";
import * as geometry from "../src/core/geometry.ts";
import { Manifest, type ManifestFields, type Mode } from "../src/core/manifest.ts";
import * as objects from "../src/core/objects.ts";
import { type Words, allBelow, pack, unpack } from "../src/core/packing.ts";
import { type ParameterSet, at, named } from "../src/core/parameters.ts";
import { Trouble } from "../src/core/trouble.ts";

const FOLDER = process.env.PERICARD_VECTORS;
if (!FOLDER) throw new Error("PERICARD_VECTORS names the folder of the vectors");
const load = (name: string) => JSON.parse(readFileSync(`${FOLDER}/${name}.json`, "utf8"));
const containers = load("containers"), cases = load("geometry").cases;

function words(values: Iterable<bigint>): Words {
  return new Uint32Array(BigUint64Array.from(values).buffer);
}

/** The vectors' rule: word i is (i + 1)·(salt + 7919)·1000003 modulo its prime. */
function block(set: ParameterSet, prime: number, salt: number): Words {
  const modulus = at(set.primes, prime);
  return words(Array.from({ length: set.degree }, (_, i) => (BigInt(i + 1) * BigInt(salt + 7919) * 1000003n) % modulus));
}

function seeded(set: ParameterSet, primes: number, salt: number): objects.Seeded {
  return {
    c0: Array.from({ length: primes }, (_, prime) => block(set, prime, salt)),
    seed: Uint8Array.from({ length: 64 }, (_, i) => (salt + i) % 256),
  };
}

test("words are packed into exactly their bits, and come back", () => {
  assert.ok(containers.packing.length > 0);
  for (const one of containers.packing) {
    const given = words(one.words.map(BigInt));
    assert.equal(toHex(pack(given, one.bits)), one.packed);
    assert.deepEqual(unpack(fromHex(one.packed), one.bits), given);
  }
});

test("the largest word below a prime is taken, the prime itself is not", () => {
  for (const set of [named("s1"), named("s3")])
    for (const prime of set.primes) {
      assert.ok(allBelow(words([0n, prime - 1n]), prime));
      assert.ok(!allBelow(words([0n, prime]), prime));
      assert.ok(!allBelow(words([prime + (1n << 32n)]), prime));
    }
});

async function container(one: Record<string, any>): Promise<Uint8Array> {
  const set = named(one.parameters);
  if (one.kind === "keys") {
    const every = Array.from({ length: 1 + one.steps.length * set.dataPrimes }, (_, n) => seeded(set, set.primes.length, n));
    const parts = (index: number) => every.slice(1 + index * set.dataPrimes, 1 + (index + 1) * set.dataPrimes);
    return objects.joinKeys(set, every[0]!, one.steps.map((step: number, index: number) => ({ step, parts: parts(index) })));
  }
  const manifest = await Manifest.from(one.manifest);
  const mode = one.mode as Mode;
  const head = objects.queryHead(manifest, mode, one.rows, fromHex(one.fingerprint));
  if (one.kind === "query") {
    const count = mode === 0 ? one.rows : manifest.inputs;
    return join([head, ...Array.from({ length: count }, (_, n) => objects.packed(set, seeded(set, set.dataPrimes, n)))]);
  }
  head.set(new TextEncoder().encode("PCRP"));
  new DataView(head.buffer).setUint16(10, manifest.replyCiphertexts(mode), true);
  const count = manifest.replyCiphertexts(mode) * (mode === 0 ? one.rows : 1);
  const packed = Array.from({ length: 2 * count }, (_, n) => pack(block(set, 0, n), at(set.bits, 0)));
  return join([head, ...packed]);
}

for (const [index, one] of containers.cases.entries())
  test(`container ${index}: ${one.kind} under ${one.parameters}`, async () => {
    const made = await container(one);
    assert.equal(made.length, one.bytes);
    assert.equal(toHex(await sha256(made)), one.sha256);
    if (one.kind === "keys") assert.equal(toHex(await objects.fingerprint(made)), one.fingerprint);
    if (one.kind === "reply") {
      const manifest = await Manifest.from(one.manifest), keys = fromHex(one.fingerprint);
      const reply = objects.parseReply(made, manifest, keys);
      const last = reply.count * (one.mode === 0 ? one.rows : 1) - 1;
      assert.deepEqual(reply.ciphertext(last), [block(manifest.set, 0, 2 * last), block(manifest.set, 0, 2 * last + 1)]);
      refused(() => objects.parseReply(made.subarray(1), manifest, keys), "no-reply");
      refused(() => objects.parseReply(made.subarray(0, -1), manifest, keys), "damaged-reply");
      refused(() => objects.parseReply(made, manifest, new Uint8Array(32)), "other-keys");
      const other = made.slice();
      other[50]! ^= 1;
      refused(() => objects.parseReply(other, manifest, keys), "other-model");
      const broken = made.slice();
      broken.fill(255, 76, 86);
      refused(() => objects.parseReply(broken, manifest, keys).ciphertext(0), "damaged-reply");
    }
  });

function refused(work: () => unknown, code: string): void {
  assert.throws(work, (error) => error instanceof Trouble && error.code === code);
}

for (const [index, one] of cases.entries())
  test(`geometry ${index}: ${one.manifest.task} under ${one.manifest.parameters}`, async () => {
    const manifest = await Manifest.from(one.manifest);
    const slots = geometry.slots(geometry.thermometer(one.row, manifest), manifest);
    assert.deepEqual([...slots.keys()].filter((slot) => slots[slot] === 1), one.ones);
    const scores = geometry.read(decoded(one.places, manifest), manifest);
    assert.deepEqual(scores, { zeros: one.zeros, sums: one.sums });
    geometry.check(scores, manifest);
    refused(() => geometry.check({ ...scores, zeros: scores.zeros.map((zeros) => zeros - 1) }, manifest), "does-not-open");
    const answer = geometry.answer(scores.sums, manifest);
    assert.equal(answer.label, one.label);
    assert.equal(answer.value, one.value);
    assert.equal(answer.probabilities.length, one.probabilities.length);
    answer.probabilities.forEach((probability, at) => assert.ok(Math.abs(probability - one.probabilities[at]) < 1e-12));
  });

/** The vectors' rule: share s > 0 of place k in row r is (1000003·r + 1009·s + 7919·k) mod t, share 0 what is missing. */
function decoded(places: [number, number][], manifest: Manifest): Uint32Array[] {
  const { plain: t, degree, row } = manifest.set;
  let first = 0;
  return manifest.fields.plan.map((diagonals) => {
    const slots = new Uint32Array(degree), capacity = manifest.copies * diagonals;
    const shares = manifest.fields.input_slots / diagonals;
    for (let k = 0; k < capacity; k++)
      for (const r of [0, 1]) {
        let sum = 0;
        for (let s = 1; s < shares; s++) {
          const share = (1000003 * r + 1009 * s + 7919 * (first + k)) % t;
          slots[r * row + s * capacity + k] = share;
          sum += share;
        }
        slots[r * row + k] = (((places[first + k]![r]! - sum) % t) + t) % t;
      }
    first += capacity;
    return slots;
  });
}

test("a manifest that was changed is refused", async () => {
  const changed: ManifestFields = { ...cases[0].manifest, scale: 1 };
  await assert.rejects(Manifest.from(changed), (error) => error instanceof Trouble && error.code === "bad-manifest");
});
