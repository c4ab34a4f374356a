"""Which leaf goes to which place, drawn anew for each query.

All leaves of a tree lie in one copy of the input. A client whose copies disagree would otherwise see leaves
of one tree, reached by different inputs, side by side: their difference is one of the model's secrets. The
copies get their trees by a fresh balanced partition, and a tree's leaves fresh places among those of its
class and copy.

Places that are left over get *impossible leaves*: one slot decided both ways. No input reaches them, they
look to the client like any leaf that its input does not reach, and they cost what a leaf costs: time and
noise are the same for every model of a capacity.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pericard_cloud.prediction.layout import Layout
from pericard_cloud.prediction.model import TreeModel
from pericard_cloud.prediction.randomness import Indices, below, permutation
from pericard_protocol.errors import UsageError


@dataclass(frozen=True, eq=False)
class Placed:
    """One leaf in each place: `leaf` of them are the model's, the others impossible.

    Attributes:
        place: int64[places], the place of each row below; first the model's leaves, in their order.
        path: int64[places, d], slots, every one of them an input's; -1 in all d of a leaf that is always
            reached.
        direction: int64[places, d].
        copy: int64[T], the copy of the input that each tree reads.
    """

    place: Indices
    path: Indices
    direction: Indices
    copy: Indices


def place(model: TreeModel, layout: Layout) -> Placed:
    """A fresh arrangement of the model's leaves.

    Raises:
        UsageError: the layout has no room for the model.
    """
    copy = _partition(model.group, layout.copies)
    where = np.empty(len(model.tree), np.int64)
    for one, ranges in enumerate(layout.blocks):
        block = np.concatenate([np.arange(start, end) for start, end in ranges])
        for number in range(layout.copies):
            leaves = np.flatnonzero((model.group[model.tree] == one) & (copy[model.tree] == number))
            room = block[block % layout.copies == number]
            if len(leaves) > len(room):
                raise UsageError("the model's manifest has too small a plan: publish the model again")
            where[leaves] = room[permutation(len(room))[: len(leaves)]]
    free = np.setdiff1d(np.arange(layout.places), where)
    path, direction = full_paths(model)
    other_path, other_direction = impossible(len(free), path.shape[1], layout.inputs)
    return Placed(
        place=np.concatenate([where, free]),
        path=np.concatenate([path, other_path]),
        direction=np.concatenate([direction, other_direction]),
        copy=copy,
    )


def full_paths(model: TreeModel) -> tuple[Indices, Indices]:
    """Paths and directions with max(2, d) columns, all in use: a short path repeats its last decision.

    Repeating changes nothing about which inputs reach the leaf, and hides how long the path was.
    """
    width = max(2, model.path.shape[1])
    length = (model.path >= 0).sum(axis=1)
    # The decisions in use first, whatever columns they were in; then the last one again.
    order = np.argsort(model.path < 0, axis=1, kind="stable")
    column = np.minimum(np.arange(width)[None, :], np.maximum(length, 1)[:, None] - 1)
    pick = np.take_along_axis(order, column, axis=1)
    path = np.take_along_axis(model.path, pick, axis=1).astype(np.int64)
    return path, np.take_along_axis(model.direction, pick, axis=1).astype(np.int64)


def _partition(group: npt.NDArray[np.int32], copies: int) -> Indices:
    """int64[T]: the copy of each tree; the trees of each class are spread evenly, otherwise at random."""
    copy = np.empty(len(group), np.int64)
    for one in np.unique(group):
        trees = np.flatnonzero(group == one)
        copy[trees[permutation(len(trees))]] = np.arange(len(trees)) % copies
    return copy


def impossible(count: int, depth: int, inputs: int) -> tuple[Indices, Indices]:
    """Paths and directions of leaves that decide one slot both ways; the further decisions are any."""
    path = below(inputs, count * depth).astype(np.int64).reshape(count, depth)
    direction = below(2, count * depth).astype(np.int64).reshape(count, depth)
    path[:, 1] = path[:, 0]
    direction[:, 1] = 1 - direction[:, 0]
    return path, direction
