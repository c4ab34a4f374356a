"""scikit-learn's models as ensembles and lines, and the file that they come in.

A pickle is code: loading one runs what its author wrote, so none is ever loaded here, nor joblib's. skops
writes the same models as data; of the types that a file names only scikit-learn's own are built, and of
what was built only arrays are read, each checked.
"""

import io
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pericard_cloud.prediction.training.boosted import check_tree
from pericard_cloud.prediction.training.edges import edge_under
from pericard_cloud.prediction.training.ensemble import Ensemble, Line, Meaning, Node, Split, from_trees
from pericard_cloud.prediction.training.errors import BadModelFile
from pericard_cloud.prediction.training.table import MAX_CLASSES, MAX_FEATURES

MAX_BYTES = 1 << 26
_MAX_UNPACKED = 1 << 28
_MAX_MEMBERS = 20_000
_MAX_TREES = 4096
_MAX_NODES = 1 << 17
# What skops does not trust by itself: losses of gradient boosting, which hold numbers, and the tree in native
# code, which would follow any child into foreign memory were it asked to predict. It never is: see `_nodes`.
_TRUSTED = (
    "sklearn.tree._tree.Tree",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss._loss.CyHalfMultinomialLoss",
    "sklearn._loss._loss.CyHalfSquaredError",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
)
_READ = (
    "DecisionTree…, RandomForest…, ExtraTrees…, GradientBoosting…, "
    "LogisticRegression, LinearRegression, Ridge"
)
# A binary answer goes through the logistic function. With this factor what comes out of it is within 0.06 of
# the share of votes that went in, and on the same side of a half.
_VOTES = 5.6

Read = tuple[Ensemble | Line, tuple[str, ...], int]


def read_skops(data: bytes) -> Read:
    """The model in a file of skops's.

    Returns:
        The model, the names of its features (empty where the file has none) and how many there are.

    Raises:
        BadModelFile: it is malformed, names a type that is not scikit-learn's, or a model that the scheme
            cannot evaluate.
    """
    import skops.io

    _check_archive(data)
    try:
        foreign = [one for one in skops.io.get_untrusted_types(data=data) if one not in _TRUSTED]
        if foreign:
            raise BadModelFile(f"the file names the type {foreign[0][:60]!r}, which is not scikit-learn's")
        estimator = skops.io.loads(data, trusted=list(_TRUSTED))
        return read_estimator(estimator)
    except BadModelFile:
        raise
    # What skops raises on a malformed file is of many types: whichever it is, there is no model.
    except Exception as error:
        raise BadModelFile(
            f"no scikit-learn model by skops: {type(error).__name__}: {str(error)[:80]}"
        ) from None


def read_estimator(estimator: Any, classes: tuple[str, ...] = ()) -> Read:
    """A fitted scikit-learn model, alone or behind a StandardScaler.

    Args:
        estimator: the model.
        classes: names of its classes; empty: as it has them.

    Raises:
        BadModelFile: the scheme cannot evaluate it.
    """
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        GradientBoostingClassifier,
        GradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.pipeline import Pipeline
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    names = tuple(map(str, getattr(estimator, "feature_names_in_", ())))
    if isinstance(estimator, Pipeline):
        line = _pipeline(estimator, classes)
        return line, names, line.weight.shape[1]
    features = int(estimator.n_features_in_) if hasattr(estimator, "n_features_in_") else 0
    if not 1 <= features <= MAX_FEATURES:
        raise BadModelFile(f"the model has {features} features; 1 to {MAX_FEATURES} can be read")
    if isinstance(estimator, (LogisticRegression, LinearRegression, Ridge)):
        return _line(estimator, features, classes), names, features
    if isinstance(estimator, (DecisionTreeClassifier, DecisionTreeRegressor)):
        return _averaged(estimator, [estimator], features, classes), names, features
    if isinstance(
        estimator, (RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor)
    ):
        return _averaged(estimator, list(estimator.estimators_), features, classes), names, features
    if isinstance(estimator, (GradientBoostingClassifier, GradientBoostingRegressor)):
        return _gradient(estimator, features, classes), names, features
    raise BadModelFile(f"{type(estimator).__name__} cannot be evaluated; there are {_READ}")


def _check_archive(data: bytes) -> None:
    """A zip file may unpack to anything: its directory says to how much."""
    if data[:1] == b"\x80" or data[:2] in (b"\x1f\x8b", b"x\x9c"):
        raise BadModelFile(
            "this looks like a pickle: loading one runs its author's code. Save it by skops.io.dump"
        )
    if len(data) > MAX_BYTES:
        raise BadModelFile(f"the model has over {MAX_BYTES >> 20} MB")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise BadModelFile(f"no skops file: {error}") from None
    if len(members) > _MAX_MEMBERS or sum(one.file_size for one in members) > _MAX_UNPACKED:
        raise BadModelFile(f"the file unpacks to over {_MAX_UNPACKED >> 20} MB or {_MAX_MEMBERS} parts")


def _pipeline(pipeline: Any, classes: tuple[str, ...]) -> Line:
    """A StandardScaler and a line: one line."""
    from sklearn.preprocessing import StandardScaler

    steps = [step for _, step in pipeline.steps]
    if len(steps) != 2 or type(steps[0]) is not StandardScaler:
        raise BadModelFile("of pipelines only a StandardScaler before a linear model can be read")
    model, _, _ = read_estimator(steps[1], classes)
    if not isinstance(model, Line):
        raise BadModelFile("trees need no StandardScaler: train without")
    width = model.weight.shape[1]
    scale = _numbers(steps[0].scale_, (width,)) if steps[0].with_std else np.ones(width)
    mean = _numbers(steps[0].mean_, (width,)) if steps[0].with_mean else np.zeros(width)
    if (scale <= 0).any():
        raise BadModelFile("the scaler divides by a number that is not positive")
    weight = model.weight / scale
    return Line(weight, model.offset - weight @ mean, model.meaning)


def _line(model: Any, features: int, classes: tuple[str, ...]) -> Line:
    meaning = _meaning(model, classes)
    weight = _numbers(np.atleast_2d(model.coef_), (meaning.outputs, features))
    offset = _numbers(np.broadcast_to(model.intercept_, (meaning.outputs,)), (meaning.outputs,))
    return Line(weight, offset.copy(), meaning)


def _averaged(model: Any, trees: list[Any], features: int, classes: tuple[str, ...]) -> Ensemble:
    """Trees whose values are averaged: shares of the classes, or a quantity."""
    meaning = _meaning(model, classes)
    if getattr(model, "n_outputs_", 1) != 1:
        raise BadModelFile("the model has several outputs: train one model for each")
    _check_number(len(trees) * meaning.outputs)
    nodes: list[list[Node]] = []
    group: list[int] = []
    width = max(1, len(meaning.classes))
    shares = [_values(one.tree_, width) for one in trees]
    for number, (one, value) in enumerate(zip(trees, shares, strict=True)):
        if meaning.classes:
            total = value.sum(axis=1, keepdims=True)
            if (total <= 0).any() or (value < 0).any():
                raise BadModelFile(f"tree {number}: a leaf has no share of any class")
            value = value / total
        if meaning.task == "binary":
            value = _VOTES * (value[:, 1:] - 0.5)
        for output in range(meaning.outputs):
            nodes.append(_nodes(one.tree_, value[:, output] / len(trees), features, number))
            group.append(output)
    made = from_trees(nodes, group, [0.0] * meaning.outputs, _ranking(meaning))
    return replace(made, votes=meaning.task == "binary")


def _gradient(model: Any, features: int, classes: tuple[str, ...]) -> Ensemble:
    """Boosted trees: a start, and for each round and output a tree times the learning rate."""
    meaning = _meaning(model, classes)
    rounds = np.asarray(model.estimators_, object)
    if rounds.ndim != 2 or rounds.shape[1] != meaning.outputs:
        raise BadModelFile("there is not one tree for each round and class")
    _check_number(rounds.size)
    rate = float(model.learning_rate)
    nodes = [
        _nodes(one.tree_, _values(one.tree_, 1)[:, 0] * rate, features, number)
        for number, one in enumerate(rounds.reshape(-1))
    ]
    if type(model.init_).__name__ not in ("DummyClassifier", "DummyRegressor"):
        raise BadModelFile("the boosting starts from another model: train without `init`")
    start = model._raw_predict_init(np.zeros((1, features)))
    offset = _numbers(start[0], (meaning.outputs,))
    return from_trees(nodes, list(range(meaning.outputs)) * len(rounds), offset.tolist(), meaning)


def _ranking(meaning: Meaning) -> Meaning:
    """Shares of classes have no link; of two, the manifest knows only the logistic one."""
    return meaning._replace(link="identity") if meaning.task == "multiclass" else meaning


def _meaning(model: Any, classes: tuple[str, ...]) -> Meaning:
    if not hasattr(model, "classes_"):
        return Meaning("regression", (), "identity")
    own = tuple(str(one) for one in np.asarray(model.classes_).reshape(-1))
    names = classes or own
    if len(names) != len(own) or not 2 <= len(own) <= MAX_CLASSES:
        raise BadModelFile(f"the model has {len(own)} classes, not {len(names)} (2 to {MAX_CLASSES})")
    return Meaning("binary", names, "logistic") if len(own) == 2 else Meaning("multiclass", names, "softmax")


def _check_number(trees: int) -> None:
    if not 1 <= trees <= _MAX_TREES:
        raise BadModelFile(
            f"the model has {trees} trees, counted for each class; 1 to {_MAX_TREES} can be read"
        )


def _nodes(tree: Any, value: NDArray[np.float64], features: int, number: int) -> list[Node]:
    count = _count(tree)
    left, right, asked, level = (
        np.asarray(one) for one in (tree.children_left, tree.children_right, tree.feature, tree.threshold)
    )
    nodes: list[Node] = []
    for at in range(count):
        if left[at] == -1:
            nodes.append(float(value[at]))
            continue
        inside = 0 < left[at] < count and 0 < right[at] < count and 0 <= asked[at] < features
        if not inside or not np.isfinite(level[at]) or abs(level[at]) > np.finfo(np.float32).max:
            raise BadModelFile(f"tree {number}, node {at} points outside the tree or asks of no feature")
        # scikit-learn goes left where the value, as a float32, is not above.
        nodes.append(Split(int(asked[at]), edge_under(float(level[at])), int(left[at]), int(right[at])))
    check_tree(nodes, number)
    return nodes


def _values(tree: Any, width: int) -> NDArray[np.float64]:
    """float64[nodes, width] of a tree with one output."""
    count = _count(tree)
    return _numbers(np.asarray(tree.value)[:, 0, :], (count, width))


def _count(tree: Any) -> int:
    count = int(tree.node_count)
    if not 1 <= count <= _MAX_NODES:
        raise BadModelFile(f"a tree has {count} nodes; 1 to {_MAX_NODES} can be read")
    return count


def _numbers(values: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    numbers = np.asarray(values, np.float64)
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise BadModelFile(f"an array of the model is not {shape} finite numbers")
    return numbers
