"""The secret numbers of one query: drawn anew for each, used once, then forgotten.

A leaf's contradictions c_i are 1 where the client's bits disagree with decision i of its path. The leaf's
first number is the sum of a_i·c_i, its second the sum of b_i·c_i, plus its value and its tree's share
(`Weights`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pericard_cloud.prediction.randomness import Words, below


@dataclass(frozen=True, eq=False)
class Weights:
    """Of L leaves with d decisions each.

    Attributes:
        a: uint64[L, d], non-zero; no non-empty subset of a leaf's sums to 0. So the first number is 0 exactly
            when nothing contradicts, and any other value of it is equally likely. Were all a_i of a leaf
            equal, a client with a number other than a bit in its slots could make contradictions cancel, and
            read many leaves.
        b: uint64[L, d], uniform, 0 included: the second number of a contradicted leaf is then uniform.
            Without 0 it could never be value + share, and who sees many replies would notice.
        share: uint64[T], uniform, but those of one class sum to 0: only the sum over all its trees can be
            read.
    """

    a: Words
    b: Words
    share: Words


def draw(shape: tuple[int, ...], group: npt.NDArray[np.int32], modulus: int) -> Weights:
    """Fresh weights for (leaves, decisions) and the trees whose classes are `group`."""
    leaves, depth = shape
    return Weights(
        a=contradicting(leaves, depth, modulus),
        b=below(modulus, leaves * depth).reshape(leaves, depth),
        share=shares(group, modulus),
    )


def contradicting(leaves: int, depth: int, modulus: int) -> Words:
    """The a_i: uint64[leaves, depth]. A leaf with a subset that sums to 0 is drawn again."""
    a = np.empty((leaves, depth), np.uint64)
    bad = np.arange(leaves)
    while len(bad):
        a[bad] = below(modulus, len(bad) * depth, 1).reshape(len(bad), depth)
        bad = bad[_vanishes(a[bad], modulus)]
    return a


def _vanishes(a: Words, modulus: int) -> npt.NDArray[np.bool_]:
    """bool[rows]: whether some non-empty subset of the row sums to 0."""
    sums = np.zeros((1, len(a)), np.uint64)
    found = np.zeros(len(a), bool)
    for column in a.T:
        with_it = (sums + column) % np.uint64(modulus)
        found |= (with_it == 0).any(axis=0)
        sums = np.concatenate([sums, with_it])
    return found


def shares(group: npt.NDArray[np.int32], modulus: int) -> Words:
    """uint64[T]: those of one class sum to 0 modulo `modulus`, otherwise uniform."""
    share = below(modulus, len(group))
    for one in np.unique(group):
        trees = np.flatnonzero(group == one)
        share[trees[-1]] = zero_sum(share[trees[:-1]], modulus)
    return share


def zero_sum(others: Words, modulus: int) -> int:
    """What makes the sum of `others` and itself 0 modulo `modulus`."""
    return -int(others.sum()) % modulus
