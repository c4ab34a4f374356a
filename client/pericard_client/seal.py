"""The user's half of the scheme on seal-python: keys, encryption, decryption.

seal-python never writes a ciphertext with the seed of its second polynomial: every upload would be twice as
long. So each is *reseeded* here. SEAL makes (c0, c1), with noise of its own; a fresh seed gives another
polynomial a in c1's place, and (c0 + (c1 - a)·s, a) decrypts alike, with the same noise. c1 was uniform and
independent of all else, and is dropped: what is left is distributed as SEAL's own seeded ciphertexts are. The
product is SEAL's, too.
"""

import secrets
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import seal

from pericard_client.errors import KeyTrouble
from pericard_protocol.prediction import geometry, objects, seal_bytes
from pericard_protocol.prediction import parameters as sets
from pericard_protocol.prediction.geometry import Counts, DecryptedScores
from pericard_protocol.prediction.manifest import COLUMNS, ROWS, Manifest
from pericard_protocol.prediction.objects import Seeded
from pericard_protocol.prediction.packing import Words
from pericard_protocol.prediction.parameters import SEED_BYTES, BfvParameters


@dataclass(frozen=True)
class SecretKey:
    """A secret key, and the name of the public keys that were made with it.

    Attributes:
        parameters: the set's name.
        steps: of the Galois keys.
        fingerprint: of the keys container, 32 bytes.
        words: uint64[primes, N], in NTT form. Secret.
    """

    parameters: str
    steps: tuple[int, ...]
    fingerprint: bytes
    words: Words = field(repr=False)

    @cached_property
    def arithmetic(self) -> "_Arithmetic":
        """SEAL's objects with this key, made once."""
        return _Arithmetic(sets.named(self.parameters), self.words)


class _Arithmetic:
    """SEAL's contexts and what works in them with one secret key."""

    def __init__(self, parameters: BfvParameters, secret: Words) -> None:
        self.parameters = parameters
        self.context = _context(parameters, [], seal.sec_level_type.tc128)
        # In this context all primes of the set are a level that SEAL computes in, the data primes the next.
        # SEAL wants one more prime for that, which nothing uses. It claims no security: nothing is encrypted
        # in it, it only adds and multiplies.
        spare = seal.CoeffModulus.Create(parameters.degree, [max(parameters.bits) + 1])
        self._ring = _context(parameters, list(spare), seal.sec_level_type.none)
        self._evaluator = seal.Evaluator(self._ring)
        self._factors = {}
        for primes in (len(parameters.data_primes), len(parameters.primes)):
            self._factors[primes] = seal.Plaintext()
            self._factors[primes].load_bytes(self._ring, seal_bytes.secret_key(parameters, secret[:primes]))
        key = self.context.from_secret_str(seal_bytes.secret_key(parameters, secret))
        self.encryptor = seal.Encryptor(self.context, key)
        self.decryptor = seal.Decryptor(self.context, key)
        self.encoder = seal.BatchEncoder(self.context)

    def reseeded(self, written: bytes, primes: int, *, ntt: bool) -> Seeded:
        """A ciphertext or public key of SEAL's as a seeded one, of the same plaintext and noise."""
        parameters = self.parameters
        words = seal_bytes.ciphertext_words(written, parameters, primes)
        empty = Seeded(np.zeros_like(words[0]), secrets.token_bytes(SEED_BYTES))
        build = seal_bytes.public_key if ntt else seal_bytes.query_ciphertext
        difference = self._ring.from_cipher_str(written)
        self._evaluator.sub_inplace(difference, self._ring.from_cipher_str(build(parameters, empty)))
        if not ntt:
            self._evaluator.transform_to_ntt_inplace(difference)
        self._evaluator.multiply_plain_inplace(difference, self._factors[primes])
        if not ntt:
            self._evaluator.transform_from_ntt_inplace(difference)
        product = seal_bytes.ciphertext_words(difference.to_string(), parameters, primes)[1]
        moduli = np.array(parameters.primes[:primes], np.uint64)[:, None]
        return Seeded((words[0] + product) % moduli, empty.seed)

    def encrypt(self, slots: Words) -> Seeded:
        """A ciphertext of uint64[N] slots."""
        fresh = self.encryptor.encrypt_symmetric(self.encoder.encode(slots))
        return self.reseeded(fresh.to_string(), len(self.parameters.data_primes), ntt=False)

    def decrypt_fresh(self, one: Seeded) -> Words:
        """The slots of a ciphertext that `encrypt` made, uint64[N]: to try the library."""
        loaded = self.context.from_cipher_str(seal_bytes.query_ciphertext(self.parameters, one))
        return self._decoded(loaded)

    def decrypt(self, words: Words) -> Words:
        """The slots of a reply's ciphertext, uint64[N], of uint64[2, N] words under the first prime."""
        loaded = self.context.from_cipher_str(seal_bytes.reply_ciphertext(self.parameters, words))
        return self._decoded(loaded)

    def _decoded(self, loaded: seal.Ciphertext) -> Words:
        return np.asarray(self.encoder.decode_uint64(self.decryptor.decrypt(loaded)), np.uint64)


def make_keys(parameters: BfvParameters, steps: tuple[int, ...]) -> tuple[SecretKey, bytes]:
    """Fresh keys: the secret one, and the container of the public ones, which the cloud needs.

    Args:
        parameters: the set.
        steps: the Galois steps, as `Manifest.steps` has them.
    """
    generator = seal.KeyGenerator(_context(parameters, [], seal.sec_level_type.tc128))
    words = seal_bytes.secret_words(generator.secret_key().to_string(), parameters)
    own, primes = _Arithmetic(parameters, words), len(parameters.primes)
    public = own.reseeded(generator.create_public_key().to_string(), primes, ntt=True)
    galois: list[tuple[int, list[Seeded]]] = []
    if steps:
        made = seal.GaloisKeys()
        generator.create_galois_keys(list(steps), made)
        written = seal_bytes.galois_parts(made.to_string(), parameters, steps)
        for step, parts in zip(steps, written, strict=True):
            galois.append((step, [own.reseeded(part, primes, ntt=True) for part in parts]))
    container = objects.join_keys(parameters, public, galois)
    return SecretKey(parameters.name, steps, objects.fingerprint(container), words), container


def encrypt(secret: SecretKey, manifest: Manifest, in_bins: Counts, mode: int = ROWS) -> bytes:
    """The query container for rows of data.

    Args:
        secret: the user's.
        manifest: the model's.
        in_bins: int64[rows, F], 1 to 4,096 rows.
        mode: `manifest.ROWS` or `manifest.COLUMNS`.

    Raises:
        KeyTrouble: the key does not serve this model.
    """
    check_serves(secret, manifest)
    bits = geometry.thermometer(in_bins, manifest)
    spread = (
        geometry.columns(bits, manifest)
        if mode == COLUMNS
        else (geometry.slots(one, manifest) for one in bits)
    )
    ciphertexts = (secret.arithmetic.encrypt(one) for one in spread)
    return objects.join_query(manifest, mode, len(bits), secret.fingerprint, ciphertexts)


def open_reply(secret: SecretKey, manifest: Manifest, reply: bytes) -> DecryptedScores:
    """What a reply says: zeros and sums, int64[rows, outputs] each.

    Raises:
        PeerError: it is no reply of this model under this key, or does not open.
    """
    parsed = objects.parse_reply(reply, manifest, secret.fingerprint)
    decrypt = secret.arithmetic.decrypt
    if parsed.mode == COLUMNS:
        reading = geometry.read_columns(list(map(decrypt, parsed.ciphertexts())), manifest, parsed.rows)
    else:
        rows = range(parsed.rows)
        each = [geometry.read(list(map(decrypt, parsed.ciphertexts(row))), manifest) for row in rows]
        reading = DecryptedScores(*map(np.stack, zip(*each, strict=True)))
    geometry.check(reading, manifest)
    return reading


def check_serves(secret: SecretKey, manifest: Manifest) -> None:
    """Checks that the key's public part is one that the model can be evaluated with.

    Raises:
        KeyTrouble: it is not.
    """
    if secret.parameters != manifest.parameters or not set(manifest.steps) <= set(secret.steps):
        raise KeyTrouble(
            f"this key does not serve {manifest.name}: make one with `keys new NAME --model` and its manifest"
        )


def _context(
    parameters: BfvParameters, more: "list[seal.Modulus]", level: "seal.sec_level_type"
) -> seal.SEALContext:
    chosen = seal.EncryptionParameters(seal.scheme_type.bfv)
    chosen.set_poly_modulus_degree(parameters.degree)
    chosen.set_coeff_modulus([*map(seal.Modulus, parameters.primes), *more])
    chosen.set_plain_modulus(seal.Modulus(parameters.plain))
    return seal.SEALContext(chosen, True, level)
