"""A user's half of encrypted prediction, by seal-python: keys, queries and replies of the real scheme.

seal-python does not write the seeds that our containers carry. So what it encrypted, (c0, c1), is moved to a
second half that is expanded from a seed of ours: (c0 + (c1 - a)·s, a) has the same message and noise.
"""

import secrets
from pathlib import Path
from typing import Any

import numpy as np
import seal

from pericard_cloud.prediction import model as models
from pericard_cloud.prediction.layout import giant_for, plan_for
from pericard_cloud.prediction.model import LinearModel, TreeModel
from pericard_protocol.prediction import geometry, objects, seal_bytes
from pericard_protocol.prediction.manifest import ROWS, Manifest
from pericard_protocol.prediction.objects import Seeded
from pericard_protocol.prediction.parameters import SEED_BYTES

INPUTS = 256


def tree_model(trees: int = 4) -> TreeModel:
    """Trees of depth 2 on two features with three edges each, of one class."""
    leaves = 4 * trees
    path, direction = np.zeros((leaves, 2), np.int16), np.zeros((leaves, 2), np.int8)
    for tree in range(trees):
        for leaf in range(4):
            row = 4 * tree + leaf
            path[row] = [tree % 3, 3 + (tree + leaf // 2) % 3]
            direction[row] = [leaf // 2, leaf % 2]
    value = np.array([(7 * row) % 41 - 20 for row in range(leaves)], np.int32)
    return TreeModel(
        path, direction, value, np.repeat(np.arange(trees), 4).astype(np.int32), np.zeros(trees, np.int32)
    )


def linear_model() -> LinearModel:
    return LinearModel(np.array([[5, -3, 2, 8, -1, 4]], np.int32))


def publish(folder: Path, name: str, model: TreeModel | LinearModel) -> Manifest:
    """Writes a model where the portal looks for models."""
    trees = isinstance(model, TreeModel)
    plan, blocks = plan_for(model, INPUTS, 4096) if isinstance(model, TreeModel) else ((), ())
    feature: dict[str, Any] = {
        "unit": "mm",
        "edges": (1.5, 2.5, 4.0),
        "minimum": 0,
        "maximum": 9,
        "mean": 3.25,
    }
    manifest = Manifest.model_validate(
        {
            "name": name,
            "parameters": "s1",
            "kind": "trees" if trees else "linear",
            "task": "binary",
            "features": tuple({"name": one} | feature for one in ("radius", "texture")),
            "edges_per_feature": 3,
            "input_slots": INPUTS,
            "plan": plan,
            "giant": giant_for(plan) if trees else 16,
            "blocks": blocks,
            "trees": (len(model.group),) if isinstance(model, TreeModel) else (),
            "columns": 0 if trees else 1,
            "classes": ("benign", "malignant"),
            "scale": 100.0,
            "offset": (0.25,),
            "link": "logistic",
        }
    )
    (folder / name).mkdir(parents=True)
    (folder / name / "model.json").write_text(manifest.to_json())
    (folder / name / "card.json").write_text(
        '{"title": "A small model", "summary": "To test with.", "rows": 569}'
    )
    models.save(model, folder / name)
    return manifest


class BlindClient:
    """One user's keys for a manifest's parameters and steps."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest, self.parameters = manifest, manifest.parameter_set
        wanted = seal.EncryptionParameters(seal.scheme_type.bfv)
        wanted.set_poly_modulus_degree(self.parameters.degree)
        wanted.set_coeff_modulus([seal.Modulus(prime) for prime in self.parameters.primes])
        wanted.set_plain_modulus(seal.Modulus(self.parameters.plain))
        self._context = seal.SEALContext(wanted, True, seal.sec_level_type.tc128)
        self._evaluator, self._encoder = seal.Evaluator(self._context), seal.BatchEncoder(self._context)
        generator = seal.KeyGenerator(self._context)
        secret = generator.secret_key()
        self._secret = seal_bytes.secret_words(secret.to_string(), self.parameters)
        self._encryptor = seal.Encryptor(self._context, secret)
        self._decryptor = seal.Decryptor(self._context, secret)
        primes = len(self.parameters.primes)
        public = self._seeded(generator.create_public_key().to_string(), primes)
        galois = []
        if manifest.steps:
            made = seal.GaloisKeys()
            generator.create_galois_keys(list(manifest.steps), made)
            parts = seal_bytes.galois_parts(made.to_string(), self.parameters, manifest.steps)
            galois = [
                (step, [self._seeded(one, primes) for one in of_step])
                for step, of_step in zip(manifest.steps, parts, strict=True)
            ]
        self.keys = objects.join_keys(self.parameters, public, galois)
        self.fingerprint = objects.fingerprint(self.keys)

    def query(self, features: Any, mode: int = ROWS) -> bytes:
        """A query for float64[rows, F]."""
        bits = geometry.thermometer(
            geometry.bins(np.asarray(features, np.float64), self.manifest), self.manifest
        )
        rows = len(bits)
        slots = (
            [geometry.slots(one, self.manifest) for one in bits]
            if mode == ROWS
            else list(geometry.columns(bits, self.manifest))
        )
        return objects.join_query(self.manifest, mode, rows, self.fingerprint, map(self._encrypt, slots))

    def sums(self, reply: bytes) -> list[int]:
        """The score of each row of a reply in mode rows."""
        parsed = objects.parse_reply(reply, self.manifest, self.fingerprint)
        assert parsed.mode == ROWS
        return [
            int(
                geometry.read([self._decode(words) for words in parsed.ciphertexts(row)], self.manifest).sums[
                    0
                ]
            )
            for row in range(parsed.rows)
        ]

    def expected(self, model: TreeModel | LinearModel, features: Any) -> list[int]:
        """The same in the clear, by the model itself."""
        bits = geometry.thermometer(
            geometry.bins(np.asarray(features, np.float64), self.manifest), self.manifest
        )
        wide = np.zeros((len(bits), self.manifest.input_slots), np.uint8)
        wide[:, : bits.shape[1]] = bits
        return [int(one) for one in model.sums(wide)[:, 0]]

    def _encrypt(self, slots: Any) -> Seeded:
        plain = self._encoder.encode(slots)
        fresh = self._encryptor.encrypt_symmetric(plain)
        self._evaluator.transform_to_ntt_inplace(fresh)
        primes = len(self.parameters.data_primes)
        words = seal_bytes.ciphertext_words(fresh.to_string(), self.parameters, primes)
        seed = secrets.token_bytes(SEED_BYTES)
        zeros = np.zeros((primes, self.parameters.degree), np.uint64)
        expanded = self._context.from_cipher_str(
            seal_bytes.query_ciphertext(self.parameters, Seeded(zeros, seed))
        )
        self._evaluator.transform_to_ntt_inplace(expanded)
        a = seal_bytes.ciphertext_words(expanded.to_string(), self.parameters, primes)[1]
        moved = np.stack([self._moved(words, a), a])
        back = self._context.from_cipher_str(seal_bytes.ciphertext(self.parameters, moved, ntt=True))
        self._evaluator.transform_from_ntt_inplace(back)
        return Seeded(seal_bytes.ciphertext_words(back.to_string(), self.parameters, primes)[0], seed)

    def _seeded(self, written: bytes, primes: int) -> Seeded:
        words = seal_bytes.ciphertext_words(written, self.parameters, primes)
        seed = secrets.token_bytes(SEED_BYTES)
        zeros = np.zeros((primes, self.parameters.degree), np.uint64)
        expanded = self._context.from_public_str(seal_bytes.public_key(self.parameters, Seeded(zeros, seed)))
        a = seal_bytes.ciphertext_words(expanded.to_string(), self.parameters, primes)[1]
        return Seeded(self._moved(words, a), seed)

    def _moved(self, words: Any, a: Any) -> Any:
        """c0 + (c1 - a)·s, in NTT form, prime by prime; Python's integers do not overflow."""
        out = np.empty_like(a)
        for index in range(len(a)):
            prime = self.parameters.primes[index]
            c0, c1, second, key = (
                one.astype(object)
                for one in (words[0, index], words[1, index], a[index], self._secret[index])
            )
            out[index] = ((c0 + (c1 - second) * key) % prime).astype(np.uint64)
        return out

    def _decode(self, words: Any) -> Any:
        cipher = self._context.from_cipher_str(seal_bytes.reply_ciphertext(self.parameters, words))
        signed = np.asarray(self._encoder.decode(self._decryptor.decrypt(cipher)), np.int64)
        return (signed % self.parameters.plain).astype(np.uint64)
