"""Takes a model that was trained elsewhere: XGBoost's JSON, or scikit-learn's by skops.

Its thresholds become the public edges, so that every answer stays the model's own. A table of data is needed
beside it: what the manifest says of the features, and what the model is judged by.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pericard_cloud.prediction.published import Published
from pericard_cloud.prediction.training.boosted import MAX_BYTES, read_xgboost
from pericard_cloud.prediction.training.edges import (
    MOST,
    MOST_SLOTS,
    Edges,
    fewer_edges,
    most_edges,
    quantile_edges,
    threshold_edges,
)
from pericard_cloud.prediction.training.ensemble import Ensemble, Line
from pericard_cloud.prediction.training.errors import BadData, BadModelFile, CannotTrain
from pericard_cloud.prediction.training.learned import read_skops
from pericard_cloud.prediction.training.quantise import Inputs, quantise_line, quantise_trees
from pericard_cloud.prediction.training.table import Table

_OWN_EDGES = "the edges are the model's own thresholds: whoever reads the manifest knows them, not the trees"
_SEEN = "the model was trained elsewhere: the rows that it is judged by may be among those it was trained on"
_VOTES = (
    "the probability that is shown is the trees' share of votes through a logistic curve, "
    "at most 0.06 from the share"
)


@dataclass(frozen=True, eq=False)
class Imported:
    """A model from elsewhere.

    Attributes:
        published: the model as it can be evaluated.
        reference: the model as it came.
        table: the rows with the model's features in its order.
        notes: for its card.
    """

    published: Published
    reference: Ensemble | Line
    table: Table
    notes: tuple[str, ...]


def import_model(
    path: Path, table: Table, name: str, parameters: str, *, fewer: bool, batches: bool = True
) -> Imported:
    """The model in a file.

    Args:
        path: XGBoost's JSON or a skops file. A pickle is code and is never loaded.
        table: rows of its features, with what is known of each row or without.
        name: what it is to be called.
        parameters: name of the parameter set.
        fewer: move thresholds to the nearest of as many edges as fit, where there are too many.
        batches: whether many rows may be asked at once.

    Raises:
        BadModelFile: the file holds no model that can be evaluated.
        BadData: the table does not have its features or classes.
        CannotTrain: it does not fit the encrypted input.
    """
    reference, names, features = _read(path, table)
    if names:
        table = table.of(names)
    elif len(table.names) != features:
        raise BadData(f"the model takes {features} features, the table has {len(table.names)}")
    if table.target is not None and reference.meaning.classes:
        table.labels(reference.meaning.classes)  # a fault is told before anything is made
    notes = [_SEEN]
    if isinstance(reference, Line):
        most = most_edges(features)
        inputs = Inputs.of(table, tuple(quantile_edges(column, most) for column in table.values.T))
        published = quantise_line(name, reference, table, inputs, parameters)
        return Imported(published, reference, table, tuple(notes))
    asked = reference.feature >= 0
    edges = threshold_edges(
        features, reference.feature[asked], reference.edge[asked], table.values.mean(axis=0)
    )
    taken = reference
    notes.append(_OWN_EDGES)
    most = max(map(len, edges))
    if most > MOST or most * features > MOST_SLOTS:
        fit = most_edges(features)
        if not fewer:
            raise CannotTrain(
                f"a feature has {most} different thresholds in the model, and each of {features} features "
                f"may have {fit}: train with fewer bins (max_bin) or trees, or allow --fewer-edges, "
                "which changes answers"
            )
        edges, taken = _moved(reference, edges, fit)
        notes.append(f"thresholds were moved to at most {fit} a feature: see how often the model agrees")
    if reference.meaning.link == "identity" and reference.meaning.classes:
        notes.append("it ranks the classes and shows no probabilities")
    if taken.votes:
        notes.append(_VOTES)
    published = quantise_trees(name, taken, Inputs.of(table, edges), parameters, batches=batches)
    return Imported(published, reference, table, tuple(notes))


def _read(path: Path, table: Table) -> tuple[Ensemble | Line, tuple[str, ...], int]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadModelFile(f"{path.name} has over {MAX_BYTES >> 20} MB")
        content = path.read_bytes()
    except OSError as error:
        raise BadModelFile(f"{path} cannot be read: {error.strerror}") from None
    if content.lstrip()[:1] == b"{":
        return read_xgboost(content, table.classes)
    return read_skops(content)


def _moved(model: Ensemble, edges: Edges, most: int) -> tuple[Edges, Ensemble]:
    kept, instead = fewer_edges(edges, most)
    edge = np.zeros(model.edge.shape)
    for at, own in enumerate(edges):
        mine = model.feature == at
        edge[mine] = instead[at][np.searchsorted(own, model.edge[mine])]
    return kept, model.with_edges(edge)
