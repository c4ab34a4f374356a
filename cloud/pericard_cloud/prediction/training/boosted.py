"""XGBoost's own JSON (`Booster.save_model("….json")`, versions 1.6 to 3) as an ensemble.

The file is data and no code: it is parsed as JSON, and every number that is used is checked before. What the
scheme cannot evaluate exactly (other boosters, categories, other links) is refused by name.
"""

import json
import math
from typing import Any

import numpy as np

from pericard_cloud.prediction.training.edges import edge_of
from pericard_cloud.prediction.training.ensemble import Ensemble, Meaning, Node, Split, from_trees
from pericard_cloud.prediction.training.errors import BadModelFile
from pericard_cloud.prediction.training.table import MAX_CLASSES, MAX_FEATURES

MAX_BYTES = 1 << 26
MAX_TREES = 4096
_MAX_NODES = 1 << 17  # of all trees together: 200 trees of depth 6 for each of 5 classes
_BINARY = ("binary:logistic", "binary:logitraw", "reg:logistic")
_CLASSES = ("multi:softprob", "multi:softmax")
_REGRESSION = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror")


def read_xgboost(text: bytes, classes: tuple[str, ...] = ()) -> tuple[Ensemble, tuple[str, ...], int]:
    """The ensemble in a file of XGBoost's.

    Args:
        text: the file.
        classes: names of the classes in the order of the model's numbers; empty: "0", "1", ….

    Returns:
        The ensemble, the names of its features (empty where the file has none) and how many there are.

    Raises:
        BadModelFile: it is malformed or of a kind that the scheme cannot evaluate.
    """
    if len(text) > MAX_BYTES:
        raise BadModelFile(f"the model has over {MAX_BYTES >> 20} MB")
    try:
        learner = json.loads(text)["learner"]
        return _learner(learner, classes)
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise BadModelFile(f"no XGBoost model in JSON: {type(error).__name__}: {str(error)[:80]}") from None


def _learner(learner: dict[str, Any], classes: tuple[str, ...]) -> tuple[Ensemble, tuple[str, ...], int]:
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise BadModelFile(f"the booster is {str(booster['name'])[:20]!r}: only gbtree can be evaluated")
    about = learner["learner_model_param"]
    features = _whole(about["num_feature"], 1, MAX_FEATURES, "num_feature")
    meaning = _meaning(
        str(learner["objective"]["name"]), _whole(about["num_class"], 0, 100, "num_class"), classes
    )
    if _whole(about.get("num_target", "1"), 0, 1 << 20, "num_target") > 1:
        raise BadModelFile("the model has several targets: train one model for each")
    content = booster["model"]
    trees, group = content["trees"], content["tree_info"]
    if not 1 <= len(trees) <= MAX_TREES or len(group) != len(trees):
        raise BadModelFile(f"the model has {len(trees)} trees; 1 to {MAX_TREES} can be read")
    nodes = sum(len(tree["left_children"]) for tree in trees)
    if nodes > _MAX_NODES:
        raise BadModelFile(f"the model has {nodes} nodes; at most {_MAX_NODES} can be read")
    groups = [_whole(one, 0, meaning.outputs - 1, "tree_info") for one in group]
    if set(groups) != set(range(meaning.outputs)):
        raise BadModelFile("a class has no tree")
    names = tuple(str(one) for one in learner.get("feature_names") or ())
    if names and len(names) != features:
        raise BadModelFile("the model does not name each of its features")
    read = [_tree(tree, features, number) for number, tree in enumerate(trees)]
    offset = _offset(about["base_score"], meaning, str(learner["objective"]["name"]))
    return from_trees(read, groups, offset, meaning), names, features


def _meaning(objective: str, number: int, classes: tuple[str, ...]) -> Meaning:
    if objective in _BINARY:
        return Meaning("binary", _named(classes, 2), "logistic")
    if objective in _CLASSES and 3 <= number <= MAX_CLASSES:
        return Meaning("multiclass", _named(classes, number), "softmax")
    if objective in _REGRESSION:
        return Meaning("regression", (), "identity")
    raise BadModelFile(
        f"the objective is {objective[:40]!r} with {number} classes; there are "
        + ", ".join((*_BINARY, *_CLASSES, *_REGRESSION))
    )


def _named(classes: tuple[str, ...], number: int) -> tuple[str, ...]:
    if classes and len(classes) != number:
        raise BadModelFile(f"{len(classes)} classes are named, the model has {number}")
    return classes or tuple(map(str, range(number)))


def _offset(text: Any, meaning: Meaning, objective: str) -> list[float]:
    """base_score, one number or (since version 3.1) a list in brackets, on the scale before the link."""
    numbers = [float(one) for one in str(text).strip("[]").split(",")]
    if len(numbers) not in (1, meaning.outputs) or not all(map(math.isfinite, numbers)):
        raise BadModelFile("base_score is not one number for each output")
    if objective in ("binary:logistic", "reg:logistic"):
        if not 0 < numbers[0] < 1:
            raise BadModelFile("base_score is no probability")
        numbers = [math.log(numbers[0] / (1 - numbers[0]))]
    return numbers * (meaning.outputs // len(numbers))


def _tree(tree: dict[str, Any], features: int, number: int) -> list[Node]:
    left, right = tree["left_children"], tree["right_children"]
    asked, level = tree["split_indices"], tree["split_conditions"]
    if any(tree.get("split_type", ())) or tree.get("categories"):
        raise BadModelFile(f"tree {number} decides by categories: encode them as numbers")
    if len({len(left), len(right), len(asked), len(level)}) != 1 or not left:
        raise BadModelFile(f"tree {number}: its lists differ in length")
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise BadModelFile(f"tree {number} has a vector in each leaf: train with one tree for each output")
    nodes: list[Node] = []
    for at in range(len(left)):
        value = float(level[at])
        if not math.isfinite(value) or abs(value) > float(np.finfo(np.float32).max):
            raise BadModelFile(f"tree {number}, node {at}: {value} is no finite number")
        if left[at] == -1:
            nodes.append(value)
            continue
        low, high = (
            _whole(side[at], 1, len(left) - 1, f"tree {number}, node {at}") for side in (left, right)
        )
        feature = _whole(asked[at], 0, features - 1, f"tree {number}, node {at}")
        # XGBoost goes left where the value, as a float32, is below.
        nodes.append(Split(feature, edge_of(value), low, high))
    check_tree(nodes, number)
    return nodes


def check_tree(nodes: list[Node], number: int) -> None:
    """Raises `BadModelFile` unless the first node is a tree's root: no circle, no node reached twice."""
    reached, left = set(), [0]
    while left:
        at = left.pop()
        if at in reached:
            raise BadModelFile(f"tree {number}: node {at} is reached twice, so it is no tree")
        reached.add(at)
        node = nodes[at]
        if isinstance(node, Split):
            left += [node.no, node.yes]


def _whole(value: Any, low: int, high: int, what: str) -> int:
    number = int(value)
    if isinstance(value, float) or not low <= number <= high:
        raise BadModelFile(f"{what} is {str(value)[:20]}: not a whole number from {low} to {high}")
    return number
