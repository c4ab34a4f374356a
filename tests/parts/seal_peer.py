"""The cloud's side for the kit's tests, by seal-python alone: what it computes from users' bytes."""

import numpy as np
import seal
from numpy.typing import NDArray

from pericard_protocol.prediction import objects, seal_bytes
from pericard_protocol.prediction.manifest import COLUMNS, Manifest
from pericard_protocol.prediction.objects import Keys
from pericard_protocol.prediction.parameters import BfvParameters

Words = NDArray[np.uint64]


def context(parameters: BfvParameters) -> seal.SEALContext:
    """As SEAL makes it from sizes alone: primes and all."""
    chosen = seal.EncryptionParameters(seal.scheme_type.bfv)
    chosen.set_poly_modulus_degree(parameters.degree)
    chosen.set_coeff_modulus(seal.CoeffModulus.Create(parameters.degree, list(parameters.bits)))
    chosen.set_plain_modulus(seal.Modulus(parameters.plain))
    made = seal.SEALContext(chosen, True, seal.sec_level_type.tc128)
    assert made.parameters_set(), made.parameter_error_message()
    return made


class Cloud:
    """What the cloud can do with a user's public keys."""

    def __init__(self, keys: Keys) -> None:
        self.parameters = keys.parameters
        self.context = context(keys.parameters)
        self.evaluator = seal.Evaluator(self.context)
        self.encoder = seal.BatchEncoder(self.context)
        public = self.context.from_public_str(seal_bytes.public_key(keys.parameters, keys.public_key))
        self.encryptor = seal.Encryptor(self.context, public)
        self.galois = self.context.from_galois_str(seal_bytes.galois_keys(keys)) if keys.steps else None

    def packed(self, ciphertext: seal.Ciphertext) -> bytes:
        """A fresh or computed ciphertext as it travels in a reply."""
        switched = self.evaluator.mod_switch_to_next(ciphertext)
        words = seal_bytes.ciphertext_words(switched.to_string(), self.parameters, 1)[:, 0]
        return objects.pack_reply_ciphertext(self.parameters, words)

    def encrypted(self, slots: Words) -> bytes:
        """Slots under the user's public key, as a reply's ciphertext."""
        return self.packed(self.encryptor.encrypt(self.encoder.encode(slots)))

    def load(self, one: objects.Seeded) -> seal.Ciphertext:
        """A query's ciphertext."""
        return self.context.from_cipher_str(seal_bytes.query_ciphertext(self.parameters, one))

    def linear(
        self, manifest: Manifest, query: bytes, weights: NDArray[np.int64], fingerprint: bytes
    ) -> bytes:
        """The reply of a linear model with one output: one product a row (mode rows) or a bit (columns)."""
        parsed = objects.parse_query(query, manifest, fingerprint)
        t = self.parameters.plain
        if parsed.mode == COLUMNS:
            total = self.encryptor.encrypt_zero()
            for at in np.flatnonzero(weights):
                plain = self.encoder.encode(np.full(self.parameters.degree, weights[at] % t, np.uint64))
                product = self.evaluator.multiply_plain(self.load(parsed.ciphertext(int(at))), plain)
                self.evaluator.add_inplace(total, product)
            replies = [self.packed(total)]
        else:
            placed = np.zeros(self.parameters.degree, np.uint64)
            placed[: manifest.inputs * manifest.copies : manifest.copies] = weights % t
            plain = self.encoder.encode(placed)
            loaded = (self.load(parsed.ciphertext(row)) for row in range(parsed.rows))
            replies = [self.packed(self.evaluator.multiply_plain(one, plain)) for one in loaded]
        return objects.join_reply(manifest, parsed.mode, parsed.rows, fingerprint, replies)
