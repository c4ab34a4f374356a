"""From placed leaves and their weights to the plaintexts of one query: diagonals and constants.

The leaf's sum over its D/K slots is a sum that the client makes, so each slot may hold any share of it: the
constants are additive shares, fresh for each query, and single slots tell nothing.

The *copies' check* is the scheme's answer to a client whose copies disagree. In each class, one tree in each
copy gets r_k · (all slots of copy k) added to the second number of all its leaves; the vectors r_k are
uniform, but sum to zero over the copies. Where the copies agree, that is zero in the class's sum. Where they
do not, the sum is uniform. Without it such a client reads sums over a random half of the trees, each query
another half: enough to tell single trees apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pericard_cloud.prediction.layout import Layout
from pericard_cloud.prediction.model import TreeModel
from pericard_cloud.prediction.places import Placed
from pericard_cloud.prediction.randomness import Indices, Words, below
from pericard_cloud.prediction.weights import Weights

_AT_ONCE = 64  # diagonals built together: 2 MB at N = 4,096


@dataclass(frozen=True, eq=False)
class Entries:
    """Coefficients of one ciphertext's diagonals, in the order of their diagonal.

    Attributes:
        diagonal: int64[n].
        slot: int64[n], of 0 … N - 1.
        coefficient: uint64[n]; several for one (diagonal, slot) are added.
    """

    diagonal: Indices
    slot: Indices
    coefficient: Words


class Plaintexts:
    """The plaintexts of one query, not yet encoded."""

    def __init__(
        self, model: TreeModel, layout: Layout, placed: Placed, weights: Weights, *, check_copies: bool = True
    ) -> None:
        """`check_copies` is off only where a test shows what the check is good for."""
        self._layout, self._placed = layout, placed
        modulus = np.uint64(layout.modulus)
        self._ciphertext = np.searchsorted(layout.starts, placed.place, "right") - 1
        self._within = placed.place - layout.starts[self._ciphertext]
        used = placed.path >= 0
        # The contradiction is x where the bit must be 0, and 1 - x where it must be 1.
        one = placed.direction == 1
        numbers = np.stack([np.where(used, weights.a, 0), np.where(used, weights.b, 0)]).astype(np.uint64)
        self._coefficients = np.where(one, modulus - numbers, numbers) % modulus
        self._constants = (numbers * one).sum(axis=2, dtype=np.uint64)
        leaves = len(model.tree)
        value = np.mod(model.value, layout.modulus).astype(np.uint64)
        self._constants[1, :leaves] += value + weights.share[model.tree]
        self._constants %= modulus
        self._checks = _copies_check(model, layout, placed) if check_copies else []

    def constant(self, ciphertext: int) -> Words:
        """uint64[N]: what is added to a ciphertext, additive shares of each place's constants."""
        layout, modulus = self._layout, self._layout.modulus
        diagonals = layout.plan[ciphertext]
        parts, places = layout.inputs // diagonals, layout.copies * diagonals
        here = self._ciphertext == ciphertext
        shares = below(modulus, layout.degree).reshape(2, parts, places)
        target = np.empty((2, places), np.uint64)
        target[:, self._within[here]] = self._constants[:, here]
        others = shares[:, 1:].sum(axis=1, dtype=np.uint64) % np.uint64(modulus)
        shares[:, 0] = (target + np.uint64(modulus) - others) % np.uint64(modulus)
        return shares.reshape(-1)

    def diagonals(self, ciphertext: int) -> Iterator[Words]:
        """Each diagonal of a ciphertext in its order: uint64[N], valid until the next one is asked for."""
        layout = self._layout
        count = layout.plan[ciphertext]
        entries = self._entries(ciphertext)
        dense = np.zeros((min(count, _AT_ONCE), layout.degree), np.uint64)
        flat = dense.reshape(-1)
        for first in range(0, count, len(dense)):
            low, high = np.searchsorted(entries.diagonal, (first, first + len(dense)))
            index = (entries.diagonal[low:high] - first) * layout.degree + entries.slot[low:high]
            np.add.at(flat, index, entries.coefficient[low:high])
            flat[index] %= np.uint64(layout.modulus)
            yield from dense
            flat[index] = 0

    def _entries(self, ciphertext: int) -> Entries:
        layout, count = self._layout, self._layout.plan[ciphertext]
        here = np.flatnonzero(self._ciphertext == ciphertext)
        leaf, decision = np.nonzero(self._placed.path[here] >= 0)
        leaf = here[leaf]
        path = self._placed.path[leaf, decision]
        diagonal, slot = _where(layout, count, self._within[leaf], path)
        # Row 0 holds first numbers, row 1 second ones.
        parts = [
            (diagonal, slot + row * layout.row, self._coefficients[row, leaf, decision]) for row in (0, 1)
        ]
        everywhere = np.arange(layout.inputs)
        for vector, leaves in self._checks:
            mine = leaves[self._ciphertext[leaves] == ciphertext]
            diagonal, slot = _where(layout, count, self._within[mine][:, None], everywhere[None, :])
            repeated = np.broadcast_to(vector, diagonal.shape)
            parts.append((diagonal.ravel(), slot.ravel() + layout.row, repeated.ravel()))
        diagonals, slots, coefficients = (np.concatenate(one) for one in zip(*parts, strict=True))
        order = np.argsort(diagonals, kind="stable")
        return Entries(diagonals[order], slots[order], coefficients[order])


def _where(layout: Layout, diagonals: int, within: Indices, path: Indices) -> tuple[Indices, Indices]:
    """The diagonal and the row's slot by which a place of a ciphertext reads input slot `path`.

    Sums of one giant step are rotated together afterwards, so their diagonals lie that much further on.
    """
    first, copy = within // layout.copies, within % layout.copies
    ahead = (path - first) % layout.inputs
    diagonal, part = ahead % diagonals, ahead // diagonals
    rotated_later = diagonal // layout.giant * layout.giant if diagonals > layout.giant else 0
    slot = (part * diagonals + first + rotated_later) % layout.inputs * layout.copies + copy
    return diagonal, slot


def _copies_check(model: TreeModel, layout: Layout, placed: Placed) -> list[tuple[Words, Indices]]:
    """For one tree in each class and copy: its vector r_k, uint64[D], and its leaves.

    The smallest tree, because each of its leaves costs D entries; which tree it is cannot be seen.
    """
    checks = []
    sizes = np.bincount(model.tree)
    for one in range(model.classes):
        trees = [np.flatnonzero((model.group == one) & (placed.copy == k)) for k in range(layout.copies)]
        smallest = [of_copy[np.argmin(sizes[of_copy])] for of_copy in trees if len(of_copy)]
        vectors = below(layout.modulus, len(smallest) * layout.inputs).reshape(len(smallest), layout.inputs)
        others = vectors[1:].sum(axis=0, dtype=np.uint64) % np.uint64(layout.modulus)
        vectors[0] = (np.uint64(layout.modulus) - others) % np.uint64(layout.modulus)
        if len(smallest) > 1:
            checks += [
                (vector, np.flatnonzero(model.tree == tree))
                for vector, tree in zip(vectors, smallest, strict=True)
            ]
    return checks
