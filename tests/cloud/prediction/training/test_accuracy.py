"""Bins and whole numbers cost at most one point on data that the models never saw: means over splits."""

import numpy as np
import pytest

from pericard_cloud.prediction.training import datasets
from pericard_cloud.prediction.training.card import quantised_margins, score
from pericard_cloud.prediction.training.fit import Wanted, train


def lost(name: str, splits: int, **wanted: object) -> float:
    """By how much the quantised model is worse than the same training on real numbers."""
    differences = []
    for seed in range(splits):
        trained = train(datasets.table(name), Wanted(name, seed=seed, **wanted))  # type: ignore[arg-type]
        meaning, rows = trained.reference.meaning, trained.held_out
        exact = score(trained.reference.margins(rows.values), rows, meaning)
        whole = score(quantised_margins(trained.published, rows.values), rows, meaning)
        differences.append(exact - whole)
    return float(np.mean(differences))


@pytest.mark.slow
@pytest.mark.parametrize(("trees", "depth"), [(20, 3), (50, 3)])
def test_trees_on_breast_cancer(trees: int, depth: int) -> None:
    assert lost("breast-cancer", 8, trees=trees, depth=depth) <= 0.01


@pytest.mark.slow
def test_trees_on_wine() -> None:
    assert lost("wine", 8, trees=20) <= 0.01


@pytest.mark.slow
def test_trees_on_digits() -> None:
    assert lost("digits", 3, trees=20) <= 0.01


@pytest.mark.slow
def test_trees_on_diabetes() -> None:
    assert lost("diabetes", 10, trees=50) <= 0.01


@pytest.mark.slow
def test_large_trees_on_breast_cancer() -> None:
    assert lost("breast-cancer", 4, trees=100, depth=6) <= 0.01


@pytest.mark.parametrize(("name", "splits"), [("breast-cancer", 2), ("wine", 4), ("diabetes", 4)])
def test_additive_models(name: str, splits: int) -> None:
    assert lost(name, splits, kind="linear") <= 0.01


@pytest.mark.slow
def test_an_additive_model_of_digits() -> None:
    assert lost("digits", 2, kind="linear") <= 0.01


def test_the_model_that_is_built_in_is_good() -> None:
    trained = train(datasets.table("breast-cancer"), Wanted("breast-cancer"))
    margins = quantised_margins(trained.published, trained.held_out.values)
    assert score(margins, trained.held_out, trained.reference.meaning) > 0.9
