"""SEAL for one parameter set: loading what was checked, plaintexts in NTT form, and hiding a reply's noise.

`seal` is imported inside, because only worker processes may hold two builds of SEAL's library apart from what
the cloud's other workers load (Pyfhel).
"""

import math
from functools import cache
from typing import Any

import numpy as np

from pericard_cloud.prediction.randomness import Words, gaussian
from pericard_protocol.prediction import seal_bytes
from pericard_protocol.prediction.objects import Keys, Seeded
from pericard_protocol.prediction.parameters import BfvParameters

# Deviations of the flooding until a reply can be wrong: 4,096 coefficients pass 8.3 of them once in 2**41
# replies.
FLOOD_MARGIN = 8.3


class LoadedKeys:
    """A user's public keys, as SEAL has them."""

    def __init__(self, engine: "Engine", keys: Keys) -> None:
        self.keys = keys
        public_key = seal_bytes.public_key(engine.parameters, keys.public_key)
        self.encryptor = engine.seal.Encryptor(engine.context, engine.context.from_public_str(public_key))
        self.galois = engine.context.from_galois_str(seal_bytes.galois_keys(keys)) if keys.steps else None


class Engine:
    """Operations on ciphertexts of one parameter set. Get one by `engine`."""

    def __init__(self, parameters: BfvParameters) -> None:
        import seal

        self.seal = seal
        self.parameters = parameters
        wanted = seal.EncryptionParameters(seal.scheme_type.bfv)
        wanted.set_poly_modulus_degree(parameters.degree)
        wanted.set_coeff_modulus([seal.Modulus(prime) for prime in parameters.primes])
        wanted.set_plain_modulus(seal.Modulus(parameters.plain))
        self.context = seal.SEALContext(wanted, True, seal.sec_level_type.tc128)
        self.evaluator = seal.Evaluator(self.context)
        self.encoder = seal.BatchEncoder(self.context)
        self._level = self.context.first_parms_id()
        # The most that decryption bears is q / 2t.
        self.flood_deviation = math.prod(parameters.data_primes) / (2 * parameters.plain) / FLOOD_MARGIN

    def ciphertext(self, seeded: Seeded) -> Any:
        """A client's ciphertext whose words were checked."""
        return self.context.from_cipher_str(seal_bytes.query_ciphertext(self.parameters, seeded))

    def encode(self, slots: Words) -> Any:
        """A plaintext to add: uint64[N], each below t."""
        return self.encoder.encode(slots)

    def factor(self, slots: Words) -> Any:
        """A plaintext to multiply by, in NTT form: uint64[N]. `None` for zeros, which SEAL does not take."""
        if not slots.any():
            return None
        plain = self.encoder.encode(slots)
        self.evaluator.transform_to_ntt_inplace(plain, self._level)
        return plain

    def conceal(self, ciphertext: Any, keys: LoadedKeys) -> Words:
        """Makes a result tell nothing but its plaintext: uint64[2, N], words under the first prime.

        1. A fresh encryption of zero under the client's public key: else c1 is a function of the plaintexts
           that we multiplied by, and who holds the secret key reads it.
        2. Flooding: the noise is a function of them, too. A Gaussian 2**19 times as wide is added to it.
        3. One prime fewer: a smaller reply. Its rounding depends on c0 and c1 only, which 1 and 2 made fresh.
        """
        self.evaluator.add_inplace(ciphertext, keys.encryptor.encrypt_zero())
        flooded = self.flood(ciphertext, self.flood_deviation)
        self.evaluator.mod_switch_to_next_inplace(flooded)
        return seal_bytes.ciphertext_words(flooded.to_string(), self.parameters, 1)[:, 0]

    def flood(self, ciphertext: Any, deviation: float) -> Any:
        """The ciphertext with a Gaussian of that standard deviation added to its noise."""
        primes = self.parameters.data_primes
        words = seal_bytes.ciphertext_words(ciphertext.to_string(), self.parameters, len(primes))
        noise = gaussian(self.parameters.degree, deviation)
        for row, prime in enumerate(primes):
            words[0, row] = (words[0, row] + (noise % prime).astype(np.uint64)) % np.uint64(prime)
        return self.context.from_cipher_str(seal_bytes.ciphertext(self.parameters, words, ntt=False))


@cache
def engine(parameters: BfvParameters) -> Engine:
    """The process's engine for a parameter set."""
    return Engine(parameters)
