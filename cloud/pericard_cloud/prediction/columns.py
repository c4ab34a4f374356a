"""Batches: one ciphertext for each (feature, edge), one row of data in each slot. No rotation, no Galois key.

For trees of depth 3 at most: a leaf's ciphertext is a sum over all slots that its tree decides by, because
which leaf is in which place is drawn anew for each row of data. Places that a tree does not fill get
impossible leaves, and a tree that decides by fewer slots than it could takes others besides: cost and noise
are the same for all.

What this mode shows more than mode rows: the places of one tree lie together, so a client with malformed bits
sees *which* of the query's trees is reached, not only how many are. The order of the trees is fresh for each
query. docs/prediction.md has what that is worth. Mixing all trees in all places would cost as many times more
as there are trees.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from pericard_cloud.prediction import places, weights
from pericard_cloud.prediction.engine import Engine, LoadedKeys
from pericard_cloud.prediction.model import TreeModel
from pericard_cloud.prediction.randomness import Indices, Words, below, permutation, permutations

MAX_DEPTH = 3


def leaves_for(model: TreeModel) -> int:
    """The manifest's `columns`: leaves that each tree has in this mode; 0 where trees are too deep."""
    depth = model.path.shape[1]
    largest = int(np.bincount(model.tree).max())
    return max(1 << depth, 1 << (largest - 1).bit_length()) if depth <= MAX_DEPTH else 0


@dataclass(frozen=True, eq=False)
class ColumnTree:
    """One tree with impossible leaves up to the mode's number L of leaves.

    Attributes:
        path: int64[L, d], indices into `slots`; -1 in all d of a leaf that is always reached.
        direction: int64[L, d].
        value: int64[L].
        slots: int64[L - 1], input slots, the tree's own and others.
    """

    path: Indices
    direction: Indices
    value: Indices
    slots: Indices


def column_tree(model: TreeModel, tree: int, leaves: int, inputs: int) -> ColumnTree:
    """The tree of that number, padded anew."""
    mine = np.flatnonzero(model.tree == tree)
    path, direction = (one[mine] for one in places.full_paths(model))
    own = np.unique(path[path >= 0])
    others = np.setdiff1d(np.arange(inputs), own)
    wanted = max(0, min(len(others), leaves - 1 - len(own)))
    slots = np.sort(np.concatenate([own, others[permutation(len(others))[:wanted]]]))
    more_path, more_direction = places.impossible(leaves - len(mine), path.shape[1], len(slots))
    return ColumnTree(
        path=np.concatenate([np.where(path < 0, -1, np.searchsorted(slots, path)), more_path]),
        direction=np.concatenate([direction, more_direction]),
        value=np.concatenate([model.value[mine].astype(np.int64), np.zeros(leaves - len(mine), np.int64)]),
        slots=slots,
    )


def plaintexts(tree: ColumnTree, share: Words, modulus: int) -> Iterator[tuple[Words, Words]]:
    """For first numbers, then second ones, each place's factors uint64[slots, N] and constant uint64[N].

    Args:
        tree: with L leaves.
        share: uint64[N], the tree's share in each row of data.
        modulus: t.
    """
    rows, (leaves, depth) = len(share), tree.path.shape
    place = permutations(rows, leaves)  # of each leaf, in each row of data
    used = np.broadcast_to(tree.path >= 0, (rows, leaves, depth))
    one = tree.direction == 1
    every = np.arange(rows)
    drawn = (
        weights.contradicting(rows * leaves, depth, modulus),
        below(modulus, rows * leaves * depth),
    )
    for number, flat in enumerate(drawn):
        weight = np.where(used, flat.reshape(rows, leaves, depth), 0).astype(np.uint64)
        coefficient = np.where(one, np.uint64(modulus) - weight, weight)
        factors = np.zeros((leaves, len(tree.slots), rows), np.uint64)
        for leaf in range(leaves):
            for decision in range(depth):
                factors[place[:, leaf], tree.path[leaf, decision], every] += coefficient[:, leaf, decision]
        factors %= np.uint64(modulus)
        constants = np.zeros((leaves, rows), np.uint64)
        constant = (weight * one).sum(axis=2, dtype=np.uint64)
        if number == 1:
            constant += np.mod(tree.value, modulus).astype(np.uint64) + share[:, None]
        constants[place, every[:, None]] = constant % np.uint64(modulus)
        yield from zip(factors, constants, strict=True)


def evaluate(
    load: Callable[[int], Any], model: TreeModel, leaves: int, inputs: int, engine: Engine, keys: LoadedKeys
) -> Iterator[Words]:
    """The reply's ciphertexts in their order: by class, by tree, first numbers before second ones.

    Args:
        load: gives the ciphertext of an input slot.
        model: of depth 3 at most.
        leaves: L, the manifest's `columns`.
        inputs: input slots that the query has.
        engine: of the model's parameters.
        keys: the client's.
    """
    evaluator, parameters = engine.evaluator, engine.parameters

    @cache
    def encrypted(slot: int) -> Any:
        return evaluator.transform_to_ntt(load(slot))

    dummy = engine.factor(below(parameters.plain, parameters.degree, 1))
    for one in range(model.classes):
        trees = np.flatnonzero(model.group == one)
        trees = trees[permutation(len(trees))]
        shares = below(parameters.plain, len(trees) * parameters.degree).reshape(len(trees), -1)
        others = shares[1:].sum(axis=0, dtype=np.uint64) % np.uint64(parameters.plain)
        shares[0] = (np.uint64(parameters.plain) - others) % np.uint64(parameters.plain)
        for share, number in zip(shares, trees, strict=True):
            tree = column_tree(model, int(number), leaves, inputs)
            for factors, constant in plaintexts(tree, share, parameters.plain):
                total = None
                for slot, values in zip(tree.slots, factors, strict=True):
                    factor = engine.factor(values)
                    product = evaluator.multiply_plain(
                        encrypted(int(slot)), dummy if factor is None else factor
                    )
                    if factor is not None:
                        total = product if total is None else evaluator.add(total, product)
                assert total is not None  # noqa: S101 - a row of data without any decision: no such tree
                evaluator.transform_from_ntt_inplace(total)
                evaluator.add_plain_inplace(total, engine.encode(constant))
                yield engine.conceal(total, keys)
