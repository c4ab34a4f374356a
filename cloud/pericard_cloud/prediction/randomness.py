"""What the scheme draws at random, all of it from the system's generator: a mask that can be guessed is none.

Uniform values modulo a prime, permutations, and the Gaussian that floods a reply's noise.
"""

import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

_WORD = 1 << 32
# A Gaussian's steps: its standard deviation is 2**32 to 2**33 of them, see `gaussian`.
_STEP_BITS = 32


def below(modulus: int, count: int, least: int = 0) -> Words:
    """`count` values, each uniform in [least, modulus).

    Words of 32 bits at or above the largest multiple of the range are drawn again: without that, small values
    would come more often, by up to one part in 2**16 for our moduli.
    """
    span = modulus - least
    fair = _WORD // span * span
    parts: list[Words] = []
    missing = count
    while missing > 0:
        drawn = np.frombuffer(os.urandom(4 * (missing + missing // 64 + 16)), np.uint32)
        parts.append(drawn[drawn < fair][:missing].astype(np.uint64))
        missing -= len(parts[-1])
    return np.concatenate(parts or [np.zeros(0, np.uint64)]) % np.uint64(span) + np.uint64(least)


def permutation(length: int) -> Indices:
    """A uniform permutation of 0 … length - 1."""
    return np.asarray(permutations(1, length)[0])


def permutations(count: int, length: int) -> Indices:
    """`count` independent uniform permutations of 0 … length - 1, int64[count, length].

    By sorting random keys of 64 bits. Two equal keys (2**-40 for 4,096 of them) stay in their order.
    """
    keys = np.frombuffer(os.urandom(8 * count * length), np.uint64).reshape(count, length)
    return np.argsort(keys, axis=1, kind="stable").astype(np.int64)


def gaussian(count: int, deviation: float) -> npt.NDArray[Any]:
    """`count` integers of a Gaussian of that standard deviation; Python's where 63 bits are too few.

    A double has 53 bits, and a deviation may have 88: rounding a product would leave 35 bits of zeros that
    show what was added to them. So the Gaussian (Box and Muller, 1958) is rounded to steps of deviation /
    2**32, and within its step the integer is uniform: the density is the Gaussian's, made of flat pieces.

    Why this floods as well as the true one: a shift v much smaller than a step changes each flat piece only
    at its border, so the distance that v makes is v / step times half the sum of differences between
    neighbours. Those are the slope of the density, plus the error of the pieces' heights; a piece is 2**21
    times coarser than the doubles it is made of, and holds so many of them that its height is wrong by less
    than its slope.

    Tails end at 8.6 deviations, the last value of a double's 53 bits: beyond them lies 2**-54 of the weight.
    """
    step_bits = max(0, math.frexp(deviation)[1] - 1 - _STEP_BITS)
    half = (count + 1) // 2
    uniform = np.frombuffer(os.urandom(16 * half), np.uint64).reshape(2, half) >> np.uint64(11)
    first, second = (uniform.astype(np.float64) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2.0 * np.log(first)), 2.0 * np.pi * second
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
    steps = np.rint(normal * (deviation / 2.0**step_bits)).astype(np.int64)
    within = np.frombuffer(os.urandom(8 * count), np.uint64) & np.uint64((1 << step_bits) - 1)
    centred = within.astype(np.int64) - ((1 << step_bits) >> 1)
    if step_bits + _STEP_BITS + 5 < 63:  # 9 deviations are 2**(step_bits + 32 + 1 + 3.2)
        return steps * (1 << step_bits) + centred
    return np.asarray(steps.astype(object) * (1 << step_bits) + centred.astype(object))
