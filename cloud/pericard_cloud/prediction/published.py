"""A model in its folder, as `pericard cloud train` publishes it: the public manifest and the secret arrays.

Both halves are checked against each other before the first query: an encrypted answer that is wrong cannot be
seen to be wrong by anyone but the client.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pericard_cloud.prediction import columns, evaluate, linear
from pericard_cloud.prediction.engine import Engine, engine
from pericard_cloud.prediction.evaluate import PreparedQuery
from pericard_cloud.prediction.layout import Layout
from pericard_cloud.prediction.model import LinearModel, TreeModel, load
from pericard_protocol.errors import UsageError
from pericard_protocol.prediction.manifest import Manifest

MANIFEST = "model.json"


@dataclass(frozen=True, eq=False)
class Published:
    """A model that queries can be asked of."""

    manifest: Manifest
    model: TreeModel | LinearModel

    def __post_init__(self) -> None:
        manifest, model = self.manifest, self.model
        trees = () if isinstance(model, LinearModel) else tuple(np.bincount(model.group).tolist())
        fits = model.classes == manifest.outputs and trees == manifest.trees
        if isinstance(model, TreeModel):
            fits &= int(model.path.max()) < manifest.inputs and self._has_room(model)
            fits &= manifest.columns in (0, columns.leaves_for(model))
        else:
            fits &= model.weight.shape[1] <= manifest.inputs
        if not fits:
            raise UsageError(f"model {manifest.name}: its arrays are not its manifest's: publish it again")
        if largest_sum(model) > manifest.parameter_set.plain // 2:
            raise UsageError(f"model {manifest.name}: its sums may pass t/2: quantise more coarsely")

    @classmethod
    def read(cls, folder: Path) -> "Published":
        """The model in a folder.

        Raises:
            UsageError: there is none, or its two halves do not belong together.
            BadManifest: the manifest is malformed.
        """
        folder = folder.resolve()  # publishing exchanges a link: both halves must be of one version
        try:
            text = (folder / MANIFEST).read_bytes()
        except OSError as error:
            raise UsageError(f"no model in {folder.name}: {error.strerror}") from None
        return cls(Manifest.from_json(text), load(folder))

    @cached_property
    def layout(self) -> Layout:
        """Where things lie in the slots."""
        return Layout.of(self.manifest)

    @property
    def engine(self) -> Engine:
        """SEAL for the model's parameters."""
        return engine(self.manifest.parameter_set)

    def prepare(self) -> PreparedQuery:
        """The plaintexts of one query in mode rows."""
        if isinstance(self.model, LinearModel):
            return linear.prepare(self.model, self.layout, self.engine)
        return evaluate.prepare(self.model, self.layout, self.engine)

    def _has_room(self, model: TreeModel) -> bool:
        """Whether every partition of the trees over the copies fits: `places.place` must never fail."""
        copies = self.layout.copies
        sizes = np.bincount(model.tree)
        for one, ranges in enumerate(self.layout.blocks):
            of_class = np.sort(sizes[model.group == one])[::-1]
            block = np.concatenate([np.arange(*each) for each in ranges])
            room = np.bincount(block % copies, minlength=copies).min()
            if of_class[: -(-len(of_class) // copies)].sum() > room:
                return False
        return True


def largest_sum(model: TreeModel | LinearModel) -> int:
    """The largest absolute value that a sum can have: it must not pass t/2."""
    if isinstance(model, LinearModel):
        return int(np.abs(model.weight.astype(np.int64)).sum(axis=1).max())
    largest = np.zeros(len(model.group), np.int64)
    np.maximum.at(largest, model.tree, np.abs(model.value.astype(np.int64)))
    return int(np.bincount(model.group, weights=largest).max())
