"""A client of the encrypted prediction with a real SEAL, and random models to ask it about.

It does what the product's clients do and, asked to, what they never would: slots that are no bits, copies
that disagree, and looking at the noise of a reply with its secret key.
"""

import math
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import seal

from pericard_cloud.prediction import columns, layout
from pericard_cloud.prediction.engine import LoadedKeys, engine
from pericard_cloud.prediction.model import LinearModel, TreeModel
from pericard_protocol.prediction import geometry, seal_bytes
from pericard_protocol.prediction.manifest import COLUMNS, ROWS, Manifest
from pericard_protocol.prediction.objects import Seeded, fingerprint, join_keys, join_query, parse_keys
from pericard_protocol.prediction.packing import Words, unpack
from pericard_protocol.prediction.parameters import BfvParameters

FEATURES, EDGES, INPUTS = 30, 31, 1024


def ensemble(
    rng: np.random.Generator,
    trees: int,
    depth: int,
    *,
    slots: int = FEATURES * EDGES,
    classes: int = 1,
    stop: float = 0.2,
    span: int | None = None,
) -> TreeModel:
    """A random ensemble: a node above `depth` is a leaf with probability `stop`; slots may come twice."""
    largest = 20_000 // -(-trees // classes) if span is None else span
    leaves: list[tuple[list[int], list[int], int]] = []

    def grow(tree: int, path: list[int], direction: list[int]) -> None:
        if len(path) == depth or (path and rng.random() < stop):
            leaves.append((path, direction, tree))
            return
        slot = int(rng.integers(slots))
        for bit in (0, 1):
            grow(tree, [*path, slot], [*direction, bit])

    for tree in range(trees):
        grow(tree, [], [])
    shape = (len(leaves), depth)
    path, direction = np.full(shape, -1, np.int16), np.zeros(shape, np.int8)
    for row, (slots_of, bits_of, _) in enumerate(leaves):
        path[row, : len(slots_of)], direction[row, : len(bits_of)] = slots_of, bits_of
    return TreeModel(
        path=path,
        direction=direction,
        value=rng.integers(-largest, largest + 1, len(leaves)).astype(np.int32),
        tree=np.array([tree for *_, tree in leaves], np.int32),
        group=np.arange(trees, dtype=np.int32) % classes,
    )


def manifest_of(
    model: TreeModel | LinearModel,
    *,
    parameters: str = "s1",
    features: int = FEATURES,
    edges: int = EDGES,
    inputs: int = INPUTS,
    **changes: Any,
) -> Manifest:
    """The manifest of a model whose sums are its answers."""
    degree = {"s1": 4096, "s3": 8192}[parameters]
    classes = model.classes
    values: dict[str, Any] = {"kind": "linear", "plan": (), "blocks": (), "trees": (), "columns": 1}
    if isinstance(model, TreeModel):
        plan, blocks = layout.plan_for(model, inputs, degree)
        values = {
            "kind": "trees",
            "plan": plan,
            "giant": layout.giant_for(plan),
            "blocks": blocks,
            "trees": tuple(np.bincount(model.group).tolist()),
            "columns": columns.leaves_for(model),
        }
    names = tuple(f"class {one}" for one in range(classes))
    feature = {
        "unit": "",
        "edges": tuple(map(float, range(edges))),
        "minimum": 0.0,
        "maximum": 9.0,
        "mean": 1.0,
    }
    values |= {
        "name": "test",
        "parameters": parameters,
        "task": "multiclass" if classes > 1 else "regression",
        "features": tuple({"name": f"feature {one}", **feature} for one in range(features)),
        "edges_per_feature": edges,
        "input_slots": inputs,
        "classes": names if classes > 1 else (),
        "scale": 1.0,
        "offset": (0.0,) * classes,
        "link": "softmax" if classes > 1 else "identity",
    }
    return Manifest.model_validate(values | changes)


def honest_bits(rng: np.random.Generator, rows: int, features: int = FEATURES, edges: int = EDGES) -> Any:
    """uint8[rows, F·E]: thermometer bits of random bins."""
    bins = rng.integers(0, edges + 1, (rows, features))
    return (bins[:, :, None] > np.arange(edges)).astype(np.uint8).reshape(rows, features * edges)


class Client:
    """A user: a secret key, the keys container, queries, and what replies say."""

    def __init__(self, manifest: Manifest, steps: Sequence[int] | None = None) -> None:
        """`steps` other than the manifest's are a client's that wants something else."""
        self.manifest = manifest
        self.parameters: BfvParameters = manifest.parameter_set
        self.engine = engine(self.parameters)
        context = self.engine.context
        generator = seal.KeyGenerator(context)
        self._secret = generator.secret_key()
        self._encryptor = seal.Encryptor(context, self._secret)
        self.decryptor = seal.Decryptor(context, self._secret)
        self.secret_words = seal_bytes.secret_words(self._secret.to_string(), self.parameters)
        every = len(self.parameters.primes)
        public = self._reseed(
            seal_bytes.ciphertext_words(generator.create_public_key().to_string(), self.parameters, every)
        )
        wanted = list(manifest.steps if steps is None else steps)
        galois: list[tuple[int, list[Seeded]]] = []
        if wanted:
            made = seal.GaloisKeys()
            generator.create_galois_keys(wanted, made)
            parts = seal_bytes.galois_parts(made.to_string(), self.parameters, wanted)
            for step, of_step in zip(wanted, parts, strict=True):
                galois.append(
                    (
                        step,
                        [
                            self._reseed(seal_bytes.ciphertext_words(one, self.parameters, every))
                            for one in of_step
                        ],
                    )
                )
        self.keys = join_keys(self.parameters, public, galois)
        self.fingerprint = fingerprint(self.keys)
        self.loaded = LoadedKeys(self.engine, parse_keys(self.keys))

    def _reseed(self, words: Words) -> Seeded:
        """The same under a seed: (c0, c1) becomes (c0 + (c1 - a)·s, a), all uint64[2, primes, N] in NTT form.

        SEAL's Python module writes no seeds; SEAL's loader expands one, and that is the a that it will load.
        """
        seed = secrets.token_bytes(64)
        primes = words.shape[1]
        blank = seal_bytes.public_key(self.parameters, Seeded(np.zeros_like(words[0]), seed))
        if primes == len(self.parameters.primes):
            loaded = self.engine.context.from_public_str(blank).to_string()
            expanded = seal_bytes.ciphertext_words(loaded, self.parameters, primes)[1]
        else:
            started = self.engine.ciphertext(Seeded(np.zeros_like(words[0]), seed))
            self.engine.evaluator.transform_to_ntt_inplace(started)
            expanded = seal_bytes.ciphertext_words(started.to_string(), self.parameters, primes)[1]
        first = np.empty_like(words[0])
        for row, prime in enumerate(self.parameters.primes[:primes]):
            first[row] = self._times_secret(words[1, row], expanded[row], words[0, row], row, prime)
        return Seeded(first, seed)

    def _times_secret(self, one: Words, other: Words, add: Words, row: int, prime: int) -> Words:
        difference = one.astype(object) - other.astype(object)
        whole = (add.astype(object) + difference * self.secret_words[row].astype(object)) % prime
        return np.asarray(whole.astype(np.uint64))

    def fresh(self, slots: Words) -> Any:
        """SEAL's encryption of uint64[N]."""
        return self._encryptor.encrypt_symmetric(self.engine.encoder.encode(slots))

    def encrypt(self, slots: Words) -> Seeded:
        """The seeded encryption of uint64[N]."""
        evaluator, primes = self.engine.evaluator, len(self.parameters.data_primes)
        encrypted = self.fresh(slots)
        evaluator.transform_to_ntt_inplace(encrypted)
        seeded = self._reseed(seal_bytes.ciphertext_words(encrypted.to_string(), self.parameters, primes))
        # Only c0 has to go back from NTT form: any c1 beside it does.
        pair = np.stack([seeded.c0, seeded.c0])
        back = self.engine.context.from_cipher_str(seal_bytes.ciphertext(self.parameters, pair, ntt=True))
        evaluator.transform_from_ntt_inplace(back)
        words = seal_bytes.ciphertext_words(back.to_string(), self.parameters, primes)
        return Seeded(words[0], seeded.seed)

    def query(self, bits: npt.NDArray[np.uint8]) -> bytes:
        """A query in mode rows: uint8[rows, F·E]."""
        slots = [geometry.slots(row.astype(np.uint64), self.manifest) for row in bits]
        return self.query_of(slots, ROWS, len(bits))

    def query_columns(self, bits: npt.NDArray[np.uint8]) -> bytes:
        """A query in mode columns: uint8[rows, F·E]."""
        slots = geometry.columns(bits.astype(np.uint64), self.manifest)
        return self.query_of(list(slots), COLUMNS, len(bits))

    def query_of(self, slots: Sequence[Words], mode: int, rows: int) -> bytes:
        """A query of any slots."""
        return join_query(self.manifest, mode, rows, self.fingerprint, map(self.encrypt, slots))

    def noise(self, ciphertext: Any) -> npt.NDArray[np.float64]:
        """The noise of SEAL's ciphertext under the data primes, float64[N]: what the key shows besides.

        t·(c0 + c1·s) is a multiple of q plus t times the noise.
        """
        primes, modulus = self.parameters.data_primes, math.prod(self.parameters.data_primes)
        copy = self.engine.context.from_cipher_str(ciphertext.to_string())
        self.engine.evaluator.transform_to_ntt_inplace(copy)
        words = seal_bytes.ciphertext_words(copy.to_string(), self.parameters, len(primes))
        nothing = np.zeros(self.parameters.degree, np.uint64)
        phase = np.stack(
            [
                self._times_secret(words[1, row], nothing, words[0, row], row, prime)
                for row, prime in enumerate(primes)
            ]
        )
        pair = np.stack([phase, phase])  # any second polynomial will do
        back = self.engine.context.from_cipher_str(seal_bytes.ciphertext(self.parameters, pair, ntt=True))
        self.engine.evaluator.transform_from_ntt_inplace(back)
        residues = seal_bytes.ciphertext_words(back.to_string(), self.parameters, len(primes))[0]
        whole = np.zeros(self.parameters.degree, object)
        for row, prime in enumerate(primes):  # the Chinese remainder theorem
            rest = modulus // prime
            whole += residues[row].astype(object) * (rest * pow(rest, -1, prime))
        times = whole * self.parameters.plain % modulus
        centred = np.where(times > modulus // 2, times - modulus, times)
        return np.asarray(centred / self.parameters.plain, np.float64)

    def decoded(self, words: Sequence[Words]) -> list[Words]:
        """The slots of a reply's ciphertexts, uint64[2, N] each."""
        opened = []
        for one in words:
            loaded = self.engine.context.from_cipher_str(seal_bytes.reply_ciphertext(self.parameters, one))
            opened.append(self.engine.encoder.decode_uint64(self.decryptor.decrypt(loaded)))
        return [np.array(one, np.uint64) for one in opened]

    def unpacked(self, ciphertexts: Sequence[bytes]) -> list[Words]:
        """Packed ciphertexts as words."""
        return [unpack(one, self.parameters.bits[0]).reshape(2, -1) for one in ciphertexts]

    def read(self, words: Sequence[Words]) -> geometry.DecryptedScores:
        """What a reply to one row says."""
        return geometry.read(self.decoded(words), self.manifest)

    def places(self, words: Sequence[Words]) -> tuple[Words, Words]:
        """Both numbers of every place, for who does not stop at the sums."""
        return places_of(self.decoded(words), self.manifest)


def places_of(decoded: Sequence[Words], manifest: Manifest) -> tuple[Words, Words]:
    """First and second numbers, uint64[places] each, of decrypted slots."""
    first, second = [], []
    for diagonals, slots in zip(manifest.plan, decoded, strict=True):
        shares = slots.reshape(2, manifest.input_slots // diagonals, manifest.copies * diagonals)
        whole = shares.sum(axis=1) % np.uint64(manifest.parameter_set.plain)
        first.append(whole[0])
        second.append(whole[1])
    return np.concatenate(first), np.concatenate(second)
