"""A model as the cloud keeps it, and its answer in the clear, which every encrypted answer must equal.

A comparison of a tree is a slot of the client's input: the thermometer bit of its feature and edge. Nothing
here knows of encryption. Files: `arrays.npz` beside the public `model.json` in the model's folder.
"""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from pericard_protocol.errors import UsageError

Bits = npt.NDArray[np.uint8]
Sums = npt.NDArray[np.int64]

ARRAYS = "arrays.npz"
# Weights of a leaf are drawn until none of its 2**depth - 1 subsets sums to zero: up to here that is rare.
MAX_DEPTH = 8
MAX_TREES = 4096
_MAX_UNPACKED = 1 << 26  # 200 trees of depth 6 for each of 20 classes take 6 MB


@dataclass(frozen=True, eq=False)
class TreeModel:
    """An ensemble, leaf by leaf.

    Attributes:
        path: int16[L, d], the slot of each decision on a leaf's path, -1 after its last one.
        direction: int8[L, d], what the bit must be for the leaf to be reached.
        value: int32[L], what the leaf adds to the sum of its tree's class.
        tree: int32[L], the tree of each leaf; trees are 0 … T - 1, and each has a leaf.
        group: int32[T], the class of each tree; classes are 0 … C - 1, and each has a tree.
    """

    path: npt.NDArray[np.int16]
    direction: npt.NDArray[np.int8]
    value: npt.NDArray[np.int32]
    tree: npt.NDArray[np.int32]
    group: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        if self.path.ndim != 2 or self.group.ndim != 1:
            raise UsageError("the model's arrays do not have one row for each leaf")
        leaves, depth = self.path.shape
        if not 1 <= depth <= MAX_DEPTH:
            raise UsageError(f"trees of depth {depth}: the scheme has 1 to {MAX_DEPTH}")
        if self.direction.shape != (leaves, depth) or self.value.shape != (leaves,):
            raise UsageError("the model's arrays do not have one row for each leaf")
        if self.tree.shape != (leaves,) or not leaves:
            raise UsageError("the model's arrays do not have one row for each leaf")
        if not 1 <= len(self.group) <= MAX_TREES or set(self.tree.tolist()) != set(range(len(self.group))):
            raise UsageError(f"the leaves are not of trees 0, 1, … (at most {MAX_TREES})")
        if set(self.group.tolist()) != set(range(int(self.group.max()) + 1)):
            raise UsageError("the trees are not of classes 0, 1, …")
        if self.path.min() < -1 or not np.isin(self.direction, (0, 1)).all():
            raise UsageError("a decision is a slot and a direction of 0 or 1")

    @property
    def classes(self) -> int:
        """How many sums an answer has."""
        return int(self.group.max()) + 1

    def reached(self, bits: Bits) -> npt.NDArray[np.bool_]:
        """bool[rows, L]: the leaves that no bit of the row contradicts, for uint8[rows, slots]."""
        agrees = (self.path < 0) | (bits[:, self.path] == self.direction)
        return np.asarray(agrees.all(axis=2))

    def sums(self, bits: Bits) -> Sums:
        """int64[rows, classes]: for each class the values of the leaves that the row reaches."""
        totals = np.zeros((len(bits), self.classes), np.int64)
        row, leaf = np.nonzero(self.reached(bits))
        np.add.at(totals, (row, self.group[self.tree[leaf]]), self.value[leaf])
        return totals


@dataclass(frozen=True, eq=False)
class LinearModel:
    """An additive model over the bins: each thermometer bit has a weight in each class.

    Attributes:
        weight: int32[C, slots].
    """

    weight: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or not self.weight.size:
            raise UsageError("a linear model has a row of weights for each class")

    @property
    def classes(self) -> int:
        """How many sums an answer has."""
        return len(self.weight)

    def sums(self, bits: Bits) -> Sums:
        """int64[rows, classes] for uint8[rows, slots]."""
        width = self.weight.shape[1]
        return np.asarray(bits[:, :width].astype(np.int64) @ self.weight.T.astype(np.int64))


_KINDS: dict[type[TreeModel] | type[LinearModel], tuple[str, ...]] = {
    TreeModel: ("path", "direction", "value", "tree", "group"),
    LinearModel: ("weight",),
}
_TYPES = {
    "path": np.int16,
    "direction": np.int8,
    "value": np.int32,
    "tree": np.int32,
    "group": np.int32,
    "weight": np.int32,
}


def save(model: TreeModel | LinearModel, folder: Path) -> None:
    """Writes the secret half of a model into its folder."""
    np.savez_compressed(
        folder / ARRAYS, allow_pickle=False, **{name: getattr(model, name) for name in _KINDS[type(model)]}
    )


def load(folder: Path) -> TreeModel | LinearModel:
    """The model that `save` wrote. Raises `UsageError` where the file holds none."""
    try:
        with ZipFile(folder / ARRAYS) as archive:  # its directory says what it unpacks to
            if sum(member.file_size for member in archive.infolist()) > _MAX_UNPACKED:
                raise UsageError(f"{ARRAYS} of {folder.name} unpacks to more than any model")
        with np.load(folder / ARRAYS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise UsageError(f"no model in {folder.name}: {error}") from None
    for kind, names in _KINDS.items():
        if set(names) == set(arrays) and all(arrays[name].dtype == _TYPES[name] for name in names):
            return kind(**arrays)
    raise UsageError(f"{ARRAYS} of {folder.name} has other arrays than a model's")
