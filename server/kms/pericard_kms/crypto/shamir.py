"""Shamir's secret sharing over GF(2^8): k of n shares give the secret, k-1 say nothing about it.

A share is one y byte per secret byte followed by its x coordinate, as Vault's are, so operators' habits
and tools carry over. This module does not authenticate: what the shares open (an AES-GCM box) does.

Timing: multiplication has no table and no secret-dependent branch (a table's cache lines, a branch's
predictor would tell). CPython adds its own noise (cached small integers), which we accept: shares are
combined a few times a year by operators, and nobody else can trigger or repeat it with chosen secrets.
"""

import secrets
from collections.abc import Sequence

from pericard_kms.errors import Invalid, Misused

# x^8 + x^4 + x^3 + x + 1, the field of AES (FIPS 197, section 4.2), less its leading term.
_REDUCTION = 0x1B


def _multiply(a: int, b: int) -> int:
    """The product of two field elements: eight masked steps, whatever the values."""
    product = 0
    for _ in range(8):
        product ^= a & -(b & 1)
        carry = -(a >> 7)
        a = ((a << 1) & 0xFF) ^ (_REDUCTION & carry)
        b >>= 1
    return product


def _invert(a: int) -> int:
    """a^254 = a^-1, for the multiplicative group has order 255; `combine` never asks for the inverse of 0."""
    result = 1
    for _ in range(7):
        a = _multiply(a, a)
        result = _multiply(result, a)
    return result


def split(secret: bytes, shares: int, threshold: int) -> list[bytes]:
    """Splits `secret` into `shares` shares of which any `threshold` restore it.

    Returns:
        Shares of len(secret) + 1 bytes, with distinct x coordinates 1..255 in a random order (x = 0 is
        the secret itself).

    Raises:
        Misused: not 2 <= threshold <= shares <= 255, except the single share of a single-keeper set-up.
    """
    if (shares, threshold) == (1, 1):
        return [secret + b"\x01"]
    if not 2 <= threshold <= shares <= 255:
        raise Misused(
            f"cannot split into {shares} shares with threshold {threshold}: need 2 <= k <= n <= 255"
        )
    xs = secrets.SystemRandom().sample(range(1, 256), shares)
    ys = [bytearray() for _ in xs]
    for byte in secret:
        # Uniform coefficients, zero allowed for the highest too: forcing it non-zero would leak.
        coefficients = secrets.token_bytes(threshold - 1)
        for y, x in zip(ys, xs, strict=True):
            value = 0
            for coefficient in reversed(coefficients):
                value = _multiply(value ^ coefficient, x)
            y.append(value ^ byte)
    return [bytes(y) + bytes([x]) for y, x in zip(ys, xs, strict=True)]


def combine(shares: Sequence[bytes]) -> bytes:
    """The secret that `shares` interpolate to at x = 0; wrong or too few shares give a wrong secret.

    Raises:
        Invalid: shares of different lengths, or two with the same x coordinate.
    """
    if not shares or len(shares[0]) < 2 or len({len(share) for share in shares}) != 1:
        raise Invalid("the key shares have different lengths: they are not of one set")
    xs = [share[-1] for share in shares]
    if len(set(xs)) != len(xs) or 0 in xs:
        raise Invalid("the same key share was given twice")
    if len(shares) == 1:
        return shares[0][:-1]
    weights = []
    for x in xs:
        weight = 1
        for other in xs:
            if other != x:
                weight = _multiply(weight, _multiply(other, _invert(other ^ x)))
        weights.append(weight)
    secret = bytearray()
    for position in range(len(shares[0]) - 1):
        value = 0
        for share, weight in zip(shares, weights, strict=True):
            value ^= _multiply(share[position], weight)
        secret.append(value)
    return bytes(secret)
