"""Models with real numbers, before quantising: decisions are `value > edge`, in doubles, as a client bins.

Where they come from (XGBoost, scikit-learn, our own training) is not known here.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pericard_cloud.prediction.training.table import Values

_ROWS_AT_ONCE = 128  # 200 trees of depth 6: 10 MB


class Meaning(NamedTuple):
    """What a model's outputs mean; the manifest has these."""

    task: Literal["binary", "multiclass", "regression"]
    classes: tuple[str, ...]
    link: Literal["logistic", "softmax", "identity"]

    @property
    def outputs(self) -> int:
        """How many sums there are."""
        return len(self.classes) if self.task == "multiclass" else 1


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trees, leaf by leaf.

    Attributes:
        feature: int64[L, d], -1 after a path's last decision.
        edge: float64[L, d].
        above: int8[L, d], 1 where the value must be above the edge.
        value: float64[L].
        tree: int64[L], from 0, every tree has a leaf.
        group: int64[T], the output that each tree adds to.
        offset: float64[outputs].
        meaning: of the outputs.
        votes: whether the margin of a binary model is the trees' share of votes about a half, made larger.
    """

    feature: NDArray[np.int64]
    edge: Values
    above: NDArray[np.int8]
    value: Values
    tree: NDArray[np.int64]
    group: NDArray[np.int64]
    offset: Values
    meaning: Meaning
    votes: bool = False

    def margins(self, values: Values) -> Values:
        """float64[rows, outputs] for float64[rows, F]."""
        parts = []
        for start in range(0, len(values), _ROWS_AT_ONCE):
            rows = values[start : start + _ROWS_AT_ONCE]
            agrees = (self.feature < 0) | ((rows[:, self.feature] > self.edge) == self.above)
            row, leaf = np.nonzero(agrees.all(axis=2))
            totals = np.tile(self.offset, (len(rows), 1))
            np.add.at(totals, (row, self.group[self.tree[leaf]]), self.value[leaf])
            parts.append(totals)
        return np.concatenate(parts)

    def with_edges(self, edge: Values) -> "Ensemble":
        """The same decisions at other edges, float64[L, d]."""
        return replace(self, edge=edge)


@dataclass(frozen=True, eq=False)
class Line:
    """A linear model.

    Attributes:
        weight: float64[outputs, F].
        offset: float64[outputs].
        meaning: of the outputs.
    """

    weight: Values
    offset: Values
    meaning: Meaning

    def margins(self, values: Values) -> Values:
        """float64[rows, outputs] for float64[rows, F]."""
        return np.asarray(values @ self.weight.T + self.offset)


class Split(NamedTuple):
    """A node that asks whether a feature is above an edge; `no` and `yes` are nodes of the same tree."""

    feature: int
    edge: float
    no: int
    yes: int


Node = Split | float  # a float is a leaf's value


def from_trees(trees: list[list[Node]], group: list[int], offset: list[float], meaning: Meaning) -> Ensemble:
    """An ensemble of trees as lists of nodes, the root first. They must be trees: the readers check it."""
    leaves = [(number, path, value) for number, nodes in enumerate(trees) for path, value in _leaves(nodes)]
    width = max(1, max(len(path) for _, path, _ in leaves))
    feature = np.full((len(leaves), width), -1, np.int64)
    edge = np.zeros((len(leaves), width))
    above = np.zeros((len(leaves), width), np.int8)
    for row, (_, path, _) in enumerate(leaves):
        for at, (asked, level, side) in enumerate(path):
            feature[row, at], edge[row, at], above[row, at] = asked, level, side
    return Ensemble(
        feature,
        edge,
        above,
        np.array([value for *_, value in leaves]),
        np.array([number for number, *_ in leaves]),
        np.array(group, np.int64),
        np.array(offset, np.float64),
        meaning,
    )


def _leaves(nodes: list[Node]) -> list[tuple[list[tuple[int, float, int]], float]]:
    found = []
    left: list[tuple[int, list[tuple[int, float, int]]]] = [(0, [])]
    while left:
        at, path = left.pop()
        node = nodes[at]
        if isinstance(node, Split):
            left.append((node.yes, [*path, (node.feature, node.edge, 1)]))
            left.append((node.no, [*path, (node.feature, node.edge, 0)]))
        else:
            found.append((path, node))
    return found
