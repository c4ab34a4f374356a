"""Clients that want the model: they ask an oracle for what one reply gives, and queries are counted."""

from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any

import numpy as np

from pericard_cloud.prediction.model import TreeModel

NO_BIT = 2


class Oracle:
    """What a client reads in replies of a model: counted."""

    def __init__(self, model: TreeModel, decoys: int = 0, rng: np.random.Generator | None = None) -> None:
        """With `decoys`, so many places are reached with probability 1/2 each, whatever the input."""
        self.model, self.queries = model, 0
        self._decoys, self._rng = decoys, rng or np.random.default_rng(0)

    def alive(self, x: Any) -> int:
        """In how many trees a leaf is reached; slots may be `NO_BIT`."""
        self.queries += 1
        more = int(self._rng.binomial(self._decoys, 0.5)) if self._decoys else 0
        return int(self.model.reached(x[None])[0].sum()) + more

    def trees_alive(self, x: Any) -> Any:
        """bool[T]: in which trees, as mode columns shows it: one row of data."""
        self.queries += 1
        found = np.zeros(len(self.model.group), bool)
        found[self.model.tree[self.model.reached(x[None])[0]]] = True
        return found

    def total(self, x: Any) -> int:
        """The sum for bits."""
        self.queries += 1
        return int(self.model.sums(x[None])[0, 0])


def averaged(oracle: Oracle, decoys: int, times: int) -> Callable[[Any], int]:
    """How many trees are alive, through decoys: the mean of so many queries."""

    def alive(x: Any) -> int:
        return round(sum(oracle.alive(x) for _ in range(times)) / times - decoys / 2)

    return alive


def _killers(alive: Callable[[Any], int], x: Any, candidates: Iterable[int], wanted: int) -> list[int]:
    """The slots that kill the one tree that x leaves alive, each by bisecting a prefix of the candidates."""
    rest, found = np.array(list(candidates)), list[int]()
    while len(found) < wanted:
        rest = np.setdiff1d(rest, found)
        low, high = 0, len(rest)
        while high - low > 1:
            middle = (low + high) // 2
            y = x.copy()
            y[rest[:middle]] = NO_BIT
            low, high = (low, middle) if alive(y) == 0 else (middle, high)
        found.append(int(rest[high - 1]))
    return found


def paths_by_counting(
    alive: Callable[[Any], int], trees: int, slots: int, rng: np.random.Generator
) -> list[set[int]]:
    """The slots on the path of the all-zero input, tree by tree, from how many trees are alive.

    Slots that are no bits kill trees until one is left; bisecting finds its three slots. For trees of depth
    3.
    """
    paths: list[set[int]] = []
    base = np.zeros(slots, np.uint8)
    while len(paths) < trees:
        x = base.copy()
        x[[int(rng.choice(sorted(path))) for path in paths]] = NO_BIT
        left = alive(x)
        for _ in range(30):
            if left <= 1:
                break
            y = x.copy()
            y[rng.random(slots) < 1 - (1 / left) ** (1 / 3)] = NO_BIT
            survivors = alive(y)
            if 0 < survivors < left:
                x, left = y, survivors
        if left == 1:
            path = set(_killers(alive, x, np.flatnonzero(x != NO_BIT), 3))
            if path not in paths:
                paths.append(path)
    return paths


def paths_by_columns(oracle: Oracle, slots: int, rng: np.random.Generator) -> list[set[int]]:
    """The same from mode columns, where a reply shows which trees are alive: any number of trees at once."""
    possible = np.ones((len(oracle.model.group), slots), bool)
    killed: list[tuple[int, Any]] = []
    while True:
        x = np.zeros(slots, np.uint8)
        x[rng.random(slots) < 0.2] = NO_BIT
        alive = oracle.trees_alive(x)
        possible[alive] &= x != NO_BIT  # a tree that lives has none of these slots on its path
        killed += [(int(tree), x == NO_BIT) for tree in np.flatnonzero(~alive)]
        if (possible.sum(axis=1) <= 3).all():
            return [set(np.flatnonzero(row).tolist()) for row in possible]


def function_by_sums(
    oracle: Oracle, slots: int, rng: np.random.Generator, patience: int = 60
) -> Callable[[Any], int]:
    """The model's function, exactly, from sums of bits only: a sparse polynomial over the slots.

    An input that the polynomial so far gets wrong is shrunk by bisecting to the few slots that matter; they
    are its next monomial. Nothing here is malformed but that the bits are no thermometer.
    """
    monomials: dict[frozenset[int], int] = {}

    def guess(ones: set[int]) -> int:
        return sum(value for monomial, value in monomials.items() if monomial <= ones)

    def wrong_by(ones: Iterable[int]) -> int:
        x = np.zeros(slots, np.uint8)
        chosen = list(ones)
        x[chosen] = 1
        return oracle.total(x) - guess(set(chosen))

    agreed = 0
    while agreed < patience:
        rest = [int(one) for one in rng.permutation(slots)[: slots // 2]]
        if not wrong_by(rest):
            agreed += 1
            continue
        agreed, core = 0, list[int]()
        while not (error := wrong_by(core)):
            low, high = 0, len(rest)  # the prefix of `low` is right, that of `high` is not
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if wrong_by(core + rest[:middle]) else (middle, high)
            core.append(rest[high - 1])
            rest = rest[: high - 1]
        key = frozenset(core)
        monomials[key] = monomials.get(key, 0) + error

    def function(x: Any) -> int:
        return guess(set(np.flatnonzero(x).tolist()))

    return function


def boosted(bits: Any, target: Any, trees: int, rate: float, logistic: bool = False) -> TreeModel:
    """Gradient boosting, depth 3, on float32[n, D] bits: for what a user or a thief would train."""
    score = np.zeros(len(bits))
    rows: list[tuple[list[int], list[int], float, int]] = []

    def split(residual: Any, chosen: Any) -> int:
        here = bits[chosen]
        ones, sums = here.sum(axis=0), residual[chosen].astype(np.float32) @ here
        zeros, total = len(here) - ones, residual[chosen].sum()
        gain = sums**2 / np.maximum(ones, 1e-9) + (total - sums) ** 2 / np.maximum(zeros, 1e-9)
        return int(np.where((ones > 0) & (zeros > 0), gain, -1).argmax())

    def grow(residual: Any, chosen: Any, path: list[int], direction: list[int], tree: int) -> None:
        if len(path) == 3 or chosen.sum() < 4:
            value = float(residual[chosen].mean()) * rate if chosen.any() else 0.0
            rows.append((path, direction, value, tree))
            score[chosen] += value
            return
        slot = split(residual, chosen)
        for bit in (0, 1):
            below = chosen & (bits[:, slot] == bit)
            grow(residual, below, [*path, slot], [*direction, bit], tree)

    for tree in range(trees):
        residual = target - (1 / (1 + np.exp(-score)) if logistic else score)
        grow(residual, np.ones(len(bits), bool), [], [], tree)
    largest = sum(max(abs(v) for *_, v, t in rows if t == tree) for tree in range(trees)) or 1.0
    path, direction = np.full((len(rows), 3), -1, np.int16), np.zeros((len(rows), 3), np.int8)
    for row, (slots, bits_of, _, _) in enumerate(rows):
        path[row, : len(slots)], direction[row, : len(slots)] = slots, bits_of
    return TreeModel(
        path=path,
        direction=direction,
        value=np.array([round(20_000 * value / largest) for *_, value, _ in rows], np.int32),
        tree=np.array([tree for *_, tree in rows], np.int32),
        group=np.zeros(trees, np.int32),
    )


def distinct_paths(model: TreeModel) -> bool:
    """Whether no slot comes twice on a path."""
    return not any((model.path[:, a] == model.path[:, b]).any() for a, b in combinations(range(3), 2))
