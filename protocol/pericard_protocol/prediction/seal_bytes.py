"""Our objects in the bytes that Microsoft SEAL loads, and the parts of what SEAL wrote. No SEAL is imported.

All headers are written here, from the parameters alone: nothing that a stranger sent reaches SEAL's parser
but words that were checked, and a seed. They say version 4.1, which SEAL 4.1 (in node-seal 6.0.3) and 4.4 (in
seal-python) both load. What is read here was written by a SEAL of our own process: its headers are not
checked again.

The layout is that of SEAL's `SEALHeader`, `Ciphertext::save_members`, `DynArray::save_members`,
`UniformRandomGeneratorInfo::save_members`, `KSwitchKeys::save_members` and `Plaintext::save_members`.
"""

import struct
from collections.abc import Sequence

import numpy as np

from pericard_protocol.errors import UsageError
from pericard_protocol.prediction.objects import Keys, Seeded
from pericard_protocol.prediction.packing import Words
from pericard_protocol.prediction.parameters import SEED_BYTES, BfvParameters

_U64 = 8
_HEADER = struct.Struct("<HBBBBHQ")  # magic, header size, version, compression, reserved, size of all
_MAGIC, _MAJOR, _MINOR, _UNCOMPRESSED = 0xA15E, 4, 1, 0
_HASH = 32
_CIPHERTEXT = struct.Struct("<BQQQdQ")  # NTT form, polynomials, degree, primes, scale, correction factor
_CIPHERTEXT_PREFIX = _HEADER.size + _HASH + _CIPHERTEXT.size
_WORDS_AT = _CIPHERTEXT_PREFIX + _HEADER.size + _U64
_PLAINTEXT = struct.Struct("<Qd")  # coefficients, scale
_PLAINTEXT_WORDS_AT = _HEADER.size + _HASH + _PLAINTEXT.size + _HEADER.size + _U64
_BLAKE2XB = 1  # SEAL's number of the generator that makes a polynomial of a seed
_GENERATOR = 3  # of the Galois group's cyclic part: rotating by s is the automorphism X -> X^(3^s)


def query_ciphertext(parameters: BfvParameters, one: Seeded) -> bytes:
    """A query's ciphertext for SEAL: under the data primes, not in NTT form; SEAL expands the seed."""
    return _seeded_ciphertext(parameters, len(parameters.data_primes), one, ntt=False)


def public_key(parameters: BfvParameters, one: Seeded) -> bytes:
    """A public key for SEAL, which is also how it writes a ciphertext under all primes in NTT form."""
    return _seeded_ciphertext(parameters, len(parameters.primes), one, ntt=True)


def galois_keys(keys: Keys) -> bytes:
    """The Galois keys of a container for SEAL: those of no other step than its own."""
    parameters = keys.parameters
    parts = dict(
        zip((galois_index(parameters, step) for step in keys.steps), keys.parts, strict=True)
    )  # by where SEAL's array has them
    body = [parameters.seal_hash(len(parameters.primes)), struct.pack("<Q", parameters.degree)]
    for index in range(parameters.degree):
        held = parts.get(index, ())
        body += [struct.pack("<Q", len(held)), *(public_key(parameters, one) for one in held)]
    return _with_header(b"".join(body))


def galois_index(parameters: BfvParameters, step: int) -> int:
    """Where SEAL's array of Galois keys has the one that rotates rows left by `step`."""
    return (pow(_GENERATOR, step, 2 * parameters.degree) - 1) // 2


def reply_ciphertext(parameters: BfvParameters, words: Words) -> bytes:
    """A reply's ciphertext for SEAL: uint64[2, N] under the first prime, not in NTT form."""
    return ciphertext(parameters, words[:, None], ntt=False)


def ciphertext(parameters: BfvParameters, words: Words, *, ntt: bool) -> bytes:
    """A ciphertext without a seed for SEAL: uint64[2, primes, N]."""
    primes = words.shape[1]
    return _with_header(_members(parameters, primes, ntt=ntt) + _array(words))


def secret_key(parameters: BfvParameters, words: Words) -> bytes:
    """A secret key for SEAL: uint64[primes, N] in NTT form, under the first primes of the set.

    SEAL's secret key is a plaintext in NTT form under all primes; with fewer it is a plaintext of that level.
    """
    hashed = parameters.seal_hash(len(words))
    return _with_header(hashed + _PLAINTEXT.pack(words.size, 1.0) + _array(words))


def secret_words(data: bytes, parameters: BfvParameters) -> Words:
    """The words of a secret key that SEAL wrote: uint64[primes, N] in NTT form.

    Raises:
        UsageError: it is no secret key of these parameters.
    """
    return _words(data, _PLAINTEXT_WORDS_AT, (len(parameters.primes), parameters.degree))


def ciphertext_words(data: bytes, parameters: BfvParameters, primes: int) -> Words:
    """The words of a ciphertext or public key that SEAL wrote without a seed: uint64[2, primes, N].

    Raises:
        UsageError: it has another size.
    """
    return _words(data, _WORDS_AT, (2, primes, parameters.degree))


def seeded_words(data: bytes, parameters: BfvParameters, primes: int) -> Seeded:
    """The parts of a ciphertext or public key that SEAL wrote with a seed.

    Raises:
        UsageError: it has another size.
    """
    tail = _HEADER.size + 1 + SEED_BYTES
    return Seeded(_words(data[:-tail], _WORDS_AT, (primes, parameters.degree)), data[-SEED_BYTES:])


def galois_parts(data: bytes, parameters: BfvParameters, steps: Sequence[int]) -> list[list[bytes]]:
    """The key-switching parts of Galois keys that SEAL wrote: for each step, SEAL's bytes of each.

    Raises:
        UsageError: they have other steps.
    """
    held: dict[int, list[bytes]] = {}
    at = _HEADER.size + _HASH
    (count,) = struct.unpack_from("<Q", data, at)
    at += _U64
    for index in range(count):
        (parts,) = struct.unpack_from("<Q", data, at)
        at += _U64
        for _ in range(parts):
            size = _HEADER.unpack_from(data, at)[-1]
            held.setdefault(index, []).append(data[at : at + size])
            at += size
    wanted = [galois_index(parameters, step) for step in steps]
    if sorted(wanted) != sorted(held) or at != len(data):
        raise UsageError("these Galois keys are not those of the steps asked for")
    return [held[index] for index in wanted]


def _words(data: bytes, at: int, shape: tuple[int, ...]) -> Words:
    if len(data) != at + _U64 * int(np.prod(shape)):
        raise UsageError(f"SEAL wrote {len(data)} bytes: no object of these parameters, or one with a seed")
    return np.frombuffer(data, "<u8", offset=at).reshape(shape).astype(np.uint64)


def _seeded_ciphertext(parameters: BfvParameters, primes: int, one: Seeded, *, ntt: bool) -> bytes:
    generator = _with_header(bytes([_BLAKE2XB]) + one.seed)
    return _with_header(_members(parameters, primes, ntt=ntt) + _array(one.c0) + generator)


def _members(parameters: BfvParameters, primes: int, *, ntt: bool) -> bytes:
    return parameters.seal_hash(primes) + _CIPHERTEXT.pack(ntt, 2, parameters.degree, primes, 1.0, 1)


def _array(words: Words) -> bytes:
    return _with_header(struct.pack("<Q", words.size) + np.ascontiguousarray(words, "<u8").tobytes())


def _with_header(body: bytes) -> bytes:
    size = _HEADER.size + len(body)
    return _HEADER.pack(_MAGIC, _HEADER.size, _MAJOR, _MINOR, _UNCOMPRESSED, 0, size) + body
