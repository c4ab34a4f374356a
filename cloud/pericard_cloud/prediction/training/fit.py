"""Trains a model on a table, twice: on the numbers as they are, to compare, and on their bins, to publish."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pericard_cloud.prediction.published import Published
from pericard_cloud.prediction.training.boosted import read_xgboost
from pericard_cloud.prediction.training.edges import Edges, in_bins, most_edges, quantile_edges
from pericard_cloud.prediction.training.ensemble import Ensemble, Line, Meaning
from pericard_cloud.prediction.training.errors import CannotTrain
from pericard_cloud.prediction.training.quantise import Inputs, quantise_line, quantise_trees
from pericard_cloud.prediction.training.table import MAX_CLASSES, Table

_HOLD_OUT = 0.25
_FEWEST_ROWS = 20
_MANY_ROWS = 20_000

Told = Callable[[], None]


@dataclass(frozen=True)
class Wanted:
    """What is to be trained.

    Attributes:
        name: of the model.
        kind: "trees" or "linear".
        trees: boosting rounds; a model with several classes has so many trees for each.
        depth: of each tree.
        rate: what each tree is multiplied by; None: what suits the task.
        edges: at most so many a feature; None: as many as fit.
        task: "auto": what the target looks like.
        parameters: name of the parameter set.
        seed: of the split and the training.
        batches: whether many rows may be asked at once, which is faster and gives thieves more.
    """

    name: str
    kind: str = "trees"
    trees: int = 50
    depth: int = 3
    rate: float | None = None
    edges: int | None = None
    task: str = "auto"
    parameters: str = "s1"
    seed: int = 0
    batches: bool = True


@dataclass(frozen=True, eq=False)
class Trained:
    """A model, what it was trained on and what it is judged by.

    Attributes:
        published: the model.
        reference: the same training without bins and whole numbers, in the clear.
        training: rows that it was trained on.
        held_out: rows that it never saw.
    """

    published: Published
    reference: Ensemble | Line
    training: Table
    held_out: Table


def train(table: Table, wanted: Wanted, told: Told = lambda: None) -> Trained:
    """A model of the table's target.

    Args:
        table: the data.
        wanted: what to make of it.
        told: called after each boosting round of each of the two trainings.

    Raises:
        CannotTrain: the data does not allow it.
    """
    meaning = _meaning(table, wanted.task)
    training, held_out = split(table, meaning, wanted.seed)
    most = most_edges(len(table.names))
    if wanted.edges is not None and wanted.edges > most:
        raise CannotTrain(f"{len(table.names)} features: at most {most} edges each fit")
    edges = tuple(quantile_edges(column, wanted.edges or most) for column in training.values.T)
    inputs = Inputs.of(training, edges)
    if wanted.kind == "linear":
        line = _line(training, meaning)
        published = quantise_line(wanted.name, line, training, inputs, wanted.parameters)
        return Trained(published, line, training, held_out)
    reference = _boosted(training.values, training, meaning, wanted, told)
    bins = in_bins(training.values, edges).astype(np.float64)
    on_bins = _boosted(bins, training, meaning, wanted, told)
    published = quantise_trees(
        wanted.name, at_edges(on_bins, edges), inputs, wanted.parameters, batches=wanted.batches
    )
    return Trained(published, reference, training, held_out)


def split(table: Table, meaning: Meaning, seed: int) -> tuple[Table, Table]:
    """The rows to train on and a quarter to judge by, each with every class in its share."""
    from sklearn.model_selection import train_test_split

    if len(table.values) < _FEWEST_ROWS:
        raise CannotTrain(
            f"{len(table.values)} rows: at least {_FEWEST_ROWS} are needed to train and to judge"
        )
    stratify = table.labels(meaning.classes) if meaning.classes else None
    if stratify is not None and np.bincount(stratify).min() < 2:
        rare = meaning.classes[int(np.bincount(stratify).argmin())]
        raise CannotTrain(
            f"class {rare!r} of {table.target_name!r} has one row: it cannot be trained and judged"
        )
    try:
        parts = train_test_split(
            np.arange(len(table.values)), test_size=_HOLD_OUT, random_state=seed, stratify=stratify
        )
    except ValueError as error:
        raise CannotTrain(f"the rows cannot be split: {error}") from None
    return _rows(table, parts[0]), _rows(table, parts[1])


def at_edges(on_bins: Ensemble, edges: Edges) -> Ensemble:
    """What was trained on bins, as decisions on values: "bin above k" is "value above edge k"."""
    level = np.floor(on_bins.edge).astype(np.int64)
    edge = np.zeros(level.shape)
    for at, own in enumerate(edges):
        mine = on_bins.feature == at
        edge[mine] = own[level[mine]]
    return on_bins.with_edges(edge)


def _meaning(table: Table, task: str) -> Meaning:
    task = table.task if task == "auto" else task
    if task == "regression":
        if table.quantities is None:
            raise CannotTrain(
                f"{table.target_name!r} is no number in every row: it cannot be a regression's target"
            )
        return Meaning("regression", (), "identity")
    number = len(table.classes)
    if task == "binary" and number == 2:
        return Meaning("binary", table.classes, "logistic")
    if task == "multiclass" and 3 <= number <= MAX_CLASSES:
        return Meaning("multiclass", table.classes, "softmax")
    raise CannotTrain(
        f"{table.target_name!r} has {number} different values: {task} is not what it can be "
        f"(binary: 2, multiclass: 3 to {MAX_CLASSES})"
    )


def _rows(table: Table, chosen: Any) -> Table:
    target = tuple(table.target[row] for row in chosen) if table.target is not None else None
    return Table(table.names, table.values[chosen], target, table.target_name, table.source)


def _boosted(values: Any, table: Table, meaning: Meaning, wanted: Wanted, told: Told) -> Ensemble:
    import xgboost

    class Progress(xgboost.callback.TrainingCallback):
        def after_iteration(self, *_: Any) -> bool:
            told()
            return False

    options: dict[str, Any] = {
        "n_estimators": wanted.trees,
        "max_depth": wanted.depth,
        "learning_rate": wanted.rate or (0.3 if meaning.classes else 0.1),
        "random_state": wanted.seed,
        "callbacks": [Progress()],
        # On few rows threads wait for each other longer than they work.
        "n_jobs": 1 if len(values) < _MANY_ROWS else None,
    }
    if meaning.classes:
        model: Any = xgboost.XGBClassifier(**options).fit(values, table.labels(meaning.classes))
    else:
        model = xgboost.XGBRegressor(**options).fit(values, table.quantities)
    ensemble, _, _ = read_xgboost(bytes(model.get_booster().save_raw("json")), meaning.classes)
    return ensemble


def _line(table: Table, meaning: Meaning) -> Line:
    """A logistic or a ridge regression, fitted to features of mean 0 and deviation 1."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from pericard_cloud.prediction.training.learned import read_estimator

    if meaning.classes:
        fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(
            table.values, table.labels(meaning.classes)
        )
    else:
        fitted = make_pipeline(StandardScaler(), Ridge()).fit(table.values, table.quantities)
    line, _, _ = read_estimator(fitted, meaning.classes)
    assert isinstance(line, Line)  # noqa: S101 - for mypy
    return line
