"""The exact shape of every FHE object on the wire, and the name of a key.

Whoever is about to hand bytes from outside to SEAL checks them here first, because SEAL 4.1 trusts the sizes
that an object declares and allocates what they ask for. Objects travel uncompressed (ciphertexts do not
shrink), so each kind has exactly one length under given parameters. Bytes only: no FHE library is imported.

What is checked here is the shape. That residues are below their primes, and that the parameters' hash is the
context's own, SEAL checks when it loads the object; we let it do so only in a confined worker process.
"""

import hashlib
import math
import struct
from typing import ClassVar

from pericard_protocol.errors import PeerError, UsageError
from pericard_protocol.fhe.parameters import CkksParameters

_U64 = 8
# SEAL 4.1's serialisation header: magic, header size, version 4.1, no compression, reserved, total size.
_HEADER = struct.Struct("<HBBBBHQ")
_MAGIC, _VERSION, _UNCOMPRESSED = 0xA15E, (4, 1), 0
# A ciphertext after its header and the hash of its parameters: NTT flag, polynomials, degree, primes, scale,
# correction factor (BGV's; 1 otherwise), then the coefficients: an array with a header and count of its own.
_CIPHERTEXT = struct.Struct("<BQQQdQ")
_PARAMETERS_HASH = 32
_CIPHERTEXT_PREFIX = _HEADER.size + _PARAMETERS_HASH + _CIPHERTEXT.size
_CIPHERTEXT_OVERHEAD = _CIPHERTEXT_PREFIX + _HEADER.size + _U64
_KEYS_DIMENSIONS = struct.Struct("<QQ")
_KEYS_PREFIX = _HEADER.size + _PARAMETERS_HASH + _KEYS_DIMENSIONS.size


class MisshapenObject(PeerError):
    """An FHE object does not have the one shape that it must have."""

    reason: ClassVar[str] = "shape"


def ciphertext_bytes(parameters: CkksParameters, primes: int, polynomials: int = 2) -> int:
    """The length of a serialised ciphertext."""
    return _CIPHERTEXT_OVERHEAD + polynomials * primes * parameters.degree * _U64


def relinearisation_key_bytes(parameters: CkksParameters) -> int:
    """The length of the serialised relinearisation key: one encryption for each fresh prime."""
    return _KEYS_PREFIX + parameters.fresh_primes * ciphertext_bytes(parameters, len(parameters.prime_bits))


def check_ciphertext(data: bytes, parameters: CkksParameters, primes: int, polynomials: int = 2) -> None:
    """Checks everything about a ciphertext that SEAL would believe.

    Args:
        data: the object as it came.
        parameters: those that it must have been made under.
        primes: its level: `fresh_primes` for a fresh one, 1 for a result.
        polynomials: 2, or 3 for a product that is neither relinearised nor rescaled yet.

    Raises:
        MisshapenObject: naming the field that is wrong.
    """
    scale = parameters.scale if polynomials == 2 else parameters.scale**2  # a product not rescaled yet
    _check_ciphertext("ciphertext", data, parameters, primes, polynomials, scale)


def check_relinearisation_key(data: bytes, parameters: CkksParameters) -> None:
    """Checks everything about a relinearisation key that SEAL would believe.

    Raises:
        MisshapenObject: naming the field that is wrong.
    """
    what = "relinearisation key"
    _check_header(what, data, relinearisation_key_bytes(parameters))
    dimensions, count = _KEYS_DIMENSIONS.unpack_from(data, _HEADER.size + _PARAMETERS_HASH)
    _equal(what, "dimensions", dimensions, 1)
    _equal(what, "number of parts", count, parameters.fresh_primes)
    primes = len(parameters.prime_bits)
    step = ciphertext_bytes(parameters, primes)
    for start in range(_KEYS_PREFIX, len(data), step):
        _check_ciphertext(what, data[start : start + step], parameters, primes, 2, 1.0)


def key_fingerprint(parameters: str, evaluation_key: bytes) -> bytes:
    """The name of an FHE key in jobs, receipts and custody, 32 bytes.

    SHA-256 over the name of its parameters, a zero byte and the evaluation key: no two pairs of name and key
    give the same input.

    Raises:
        UsageError: the name of the parameters holds a zero byte.
    """
    if "\0" in parameters:
        raise UsageError("the name of FHE parameters holds no zero byte")
    digest = hashlib.sha256(b"pericard fhe key v1\0" + parameters.encode() + b"\0")
    digest.update(evaluation_key)
    return digest.digest()


def _check_ciphertext(
    what: str, data: bytes, parameters: CkksParameters, primes: int, polynomials: int, scale: float
) -> None:
    _check_header(what, data, ciphertext_bytes(parameters, primes, polynomials))
    ntt, size, degree, levels, declared, correction = _CIPHERTEXT.unpack_from(
        data, _HEADER.size + _PARAMETERS_HASH
    )
    _equal(what, "NTT flag", ntt, 1)
    _equal(what, "number of polynomials", size, polynomials)
    _equal(what, "degree", degree, parameters.degree)
    _equal(what, "number of primes", levels, primes)
    _equal(what, "correction factor", correction, 1)
    # Rescaling divides by a prime close to a power of two, which leaves the scale slightly off. The primes
    # differ from powers of two by a much smaller part than 2^-20.
    if not math.isclose(declared, scale, rel_tol=2**-20):
        raise MisshapenObject(
            f"{what}: its scale is not the parameters': make it again under {parameters.name}"
        )
    coefficients = data[_CIPHERTEXT_PREFIX:]
    _check_header(what, coefficients, len(coefficients))
    count = int.from_bytes(coefficients[_HEADER.size : _HEADER.size + _U64], "little")
    _equal(what, "number of coefficients", count, polynomials * primes * parameters.degree)


def _check_header(what: str, data: bytes, expected: int) -> None:
    _equal(what, "length in bytes", len(data), expected)
    magic, header_size, major, minor, compression, reserved, size = _HEADER.unpack_from(data)
    _equal(what, "magic number", magic, _MAGIC)
    _equal(what, "header size", header_size, _HEADER.size)
    _equal(what, "SEAL version", (major, minor), _VERSION)
    _equal(what, "compression", compression, _UNCOMPRESSED)
    _equal(what, "reserved field", reserved, 0)
    _equal(what, "declared size", size, expected)


def _equal(what: str, field: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise MisshapenObject(
            f"{what}: its {field} is {found}, not {wanted}: make it again with the same parameters"
        )
