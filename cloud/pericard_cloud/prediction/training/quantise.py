"""From real numbers to the small whole numbers that fit under encryption, and to the manifest that says so.

Every sum that an answer can have stays within ±20,000 and so below half of any parameter set's t.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pericard_cloud.prediction.columns import leaves_for
from pericard_cloud.prediction.layout import giant_for, plan_for
from pericard_cloud.prediction.model import MAX_DEPTH, LinearModel, TreeModel
from pericard_cloud.prediction.published import Published
from pericard_cloud.prediction.training.edges import Edges, in_bins, input_slots
from pericard_cloud.prediction.training.ensemble import Ensemble, Line, Meaning
from pericard_cloud.prediction.training.errors import CannotTrain
from pericard_cloud.prediction.training.table import Table, Values
from pericard_protocol.prediction import parameters
from pericard_protocol.prediction.manifest import Feature, Manifest

LARGEST = 20_000  # of a sum: just under t/2 = 20,480 of S1


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a manifest says of the features: their names, edges and what the data is like."""

    features: tuple[Feature, ...]
    edges: Edges

    @classmethod
    def of(cls, table: Table, edges: Edges) -> "Inputs":
        """Those of a table's features."""
        features = tuple(
            Feature(
                name=name,
                unit="",
                edges=tuple(map(float, edges[at])),
                minimum=float(column.min()),
                maximum=float(column.max()),
                mean=float(np.clip(column.mean(), column.min(), column.max())),
            )
            for at, (name, column) in enumerate(zip(table.names, table.values.T, strict=True))
        )
        return cls(features, edges)

    @property
    def per_feature(self) -> int:
        """E: slots of each feature."""
        return max(len(one) for one in self.edges)

    @property
    def slots(self) -> int:
        """D: slots of the input."""
        return input_slots(len(self.edges), self.per_feature)


def quantise_trees(
    name: str, ensemble: Ensemble, inputs: Inputs, parameter_set: str, *, batches: bool = True
) -> Published:
    """The ensemble in whole numbers.

    The middle of each tree's values goes into the offset, so that the whole numbers use both signs: they are
    finer then.

    Args:
        name: of the model.
        ensemble: each of its decisions is at one of the inputs' edges.
        inputs: what the manifest says of the features.
        parameter_set: "s1" or "s3".
        batches: whether it may be asked in mode columns, if its depth allows that.

    Raises:
        CannotTrain: the trees are too deep or too many.
    """
    if ensemble.feature.shape[1] > MAX_DEPTH:
        raise CannotTrain(f"trees of depth {ensemble.feature.shape[1]}: at most {MAX_DEPTH} can be evaluated")
    centred, offset = _centred(ensemble)
    largest = np.zeros(len(ensemble.group))
    np.maximum.at(largest, ensemble.tree, np.abs(centred))
    totals = np.bincount(ensemble.group, weights=largest)
    # Rounding makes a tree's value larger by at most a half.
    most_trees = int(np.bincount(ensemble.group).max())
    scale = _scale(float(totals.max()), LARGEST - most_trees / 2)
    model = TreeModel(
        path=_slots(ensemble, inputs),
        direction=ensemble.above.astype(np.int8),
        value=np.rint(centred * scale).astype(np.int32),
        tree=ensemble.tree.astype(np.int32),
        group=ensemble.group.astype(np.int32),
    )
    degree = parameters.named(parameter_set).degree
    plan, blocks = plan_for(model, inputs.slots, degree)
    manifest = _manifest(
        name,
        parameter_set,
        "trees",
        ensemble.meaning,
        inputs,
        plan=plan,
        giant=giant_for(plan),
        blocks=blocks,
        trees=tuple(np.bincount(model.group).tolist()),
        columns=leaves_for(model) if batches else 0,
        scale=scale,
        offset=tuple(map(float, offset)),
    )
    return Published(manifest, model)


def quantise_line(name: str, line: Line, table: Table, inputs: Inputs, parameter_set: str) -> Published:
    """A linear model as an additive one: each edge that a value is above adds what lies between two bins.

    A bin stands for the mean of the table's values in it, an empty one for its middle.

    Args:
        name: of the model.
        line: a linear model of the table's features.
        table: the data that says what a bin stands for.
        inputs: what the manifest says of the features.
        parameter_set: "s1" or "s3".
    """
    weight = np.zeros((line.meaning.outputs, len(inputs.edges), inputs.per_feature))
    offset = line.offset.copy()
    for at, edges in enumerate(inputs.edges):
        stands_for = _stands_for(table.values[:, at], edges)
        height = line.weight[:, at, None] * stands_for  # float64[outputs, bins]
        offset += height[:, 0]
        weight[:, at, : len(edges)] = np.diff(height, axis=1)
    # A weight that is rounded as the difference of two rounded heights is at most one larger.
    room = LARGEST - weight[0].size
    scale = _scale(float(np.abs(weight).sum(axis=(1, 2)).max()), room)
    heights = np.rint(np.cumsum(weight, axis=2) * scale)
    whole = np.diff(heights, axis=2, prepend=0)
    model = LinearModel(whole.reshape(len(whole), -1).astype(np.int32))
    manifest = _manifest(
        name,
        parameter_set,
        "linear",
        line.meaning,
        inputs,
        plan=(),
        giant=16,
        blocks=(),
        trees=(),
        columns=1,
        scale=scale,
        offset=tuple(map(float, offset)),
    )
    return Published(manifest, model)


def _manifest(
    name: str, parameter_set: str, kind: str, meaning: Meaning, inputs: Inputs, **places: object
) -> Manifest:
    return Manifest.model_validate(
        {
            "name": name,
            "parameters": parameter_set,
            "kind": kind,
            "task": meaning.task,
            "features": inputs.features,
            "edges_per_feature": inputs.per_feature,
            "input_slots": inputs.slots,
            "classes": meaning.classes,
            "link": meaning.link,
            **places,
        }
    )


def _centred(ensemble: Ensemble) -> tuple[Values, Values]:
    """Leaf values about the middle of their tree, and the offset that makes up for it."""
    trees = len(ensemble.group)
    low, high = np.full(trees, np.inf), np.full(trees, -np.inf)
    np.minimum.at(low, ensemble.tree, ensemble.value)
    np.maximum.at(high, ensemble.tree, ensemble.value)
    middle = low + (high - low) / 2
    offset = ensemble.offset.copy()
    np.add.at(offset, ensemble.group, middle)
    return ensemble.value - middle[ensemble.tree], offset


def _scale(largest: float, room: float) -> float:
    """What real numbers up to `largest` are multiplied by; a model that is constant keeps its size."""
    if room < LARGEST / 4:
        raise CannotTrain("the model has so many numbers that rounding them would drown them")
    return room / largest if largest > 0 else 1.0


def _slots(ensemble: Ensemble, inputs: Inputs) -> NDArray[np.int16]:
    """int16[L, d]: the slot of each decision."""
    path = np.full(ensemble.feature.shape, -1, np.int16)
    for at, edges in enumerate(inputs.edges):
        mine = ensemble.feature == at
        number = np.searchsorted(edges, ensemble.edge[mine])
        if (edges[np.minimum(number, len(edges) - 1)] != ensemble.edge[mine]).any():
            raise CannotTrain(f"a decision about {inputs.features[at].name} lies at none of its edges")
        path[mine] = at * inputs.per_feature + number
    return path


def _stands_for(column: Values, edges: NDArray[np.float64]) -> Values:
    """float64[bins]: the mean of the column's values in each bin."""
    which = in_bins(column[:, None], (edges,))[:, 0]
    count = np.bincount(which, minlength=len(edges) + 1)
    total = np.bincount(which, weights=column, minlength=len(edges) + 1)
    bounds = np.concatenate([[min(edges[0], column.min())], edges, [max(edges[-1], column.max())]])
    middle = (bounds[1:] + bounds[:-1]) / 2
    return np.where(count > 0, total / np.maximum(count, 1), middle)
