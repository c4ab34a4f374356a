"""An encrypted answer opens to the quantised model's, for every row of the test split."""

import numpy as np
import pytest
from tests.parts.predicting import Client

from pericard_cloud.prediction.evaluate import evaluate
from pericard_cloud.prediction.training import datasets
from pericard_cloud.prediction.training.card import quantised_margins
from pericard_cloud.prediction.training.fit import Trained, Wanted, train
from pericard_protocol.prediction import geometry


def every_row_agrees(trained: Trained, rows: int | None = None) -> None:
    """Encrypts, evaluates and opens each row held out, or the first few, and compares sums and labels."""
    published, manifest = trained.published, trained.published.manifest
    client = Client(manifest)
    values = trained.held_out.values[:rows]
    margins = quantised_margins(published, values)
    bits = geometry.thermometer(geometry.bins(values, manifest), manifest)
    for row, wanted in zip(bits, margins, strict=True):
        query = client.fresh(geometry.slots(row, manifest))
        reply = evaluate(query, published.prepare(), published.layout, published.engine, client.loaded)
        reading = client.read(reply)
        geometry.check(reading, manifest)
        assert geometry.answer(reading.sums, manifest).margins == tuple(wanted)


def trained(name: str, **wanted: object) -> Trained:
    return train(datasets.table(name), Wanted(name, **wanted))  # type: ignore[arg-type]


def test_a_few_rows_of_breast_cancer() -> None:
    every_row_agrees(trained("breast-cancer", trees=10), rows=8)


@pytest.mark.slow
def test_every_row_of_breast_cancer() -> None:
    every_row_agrees(trained("breast-cancer", trees=20))


@pytest.mark.slow
def test_every_row_of_wine() -> None:
    every_row_agrees(trained("wine", trees=20))


@pytest.mark.slow
def test_every_row_of_diabetes() -> None:
    every_row_agrees(trained("diabetes", trees=50))


@pytest.mark.slow
def test_many_rows_of_digits() -> None:
    every_row_agrees(trained("digits", trees=20), rows=40)


@pytest.mark.slow
@pytest.mark.parametrize("trees", [100, 200])
def test_rows_of_large_models(trees: int) -> None:
    every_row_agrees(trained("breast-cancer", trees=trees, depth=6), rows=10)


@pytest.mark.slow
def test_the_larger_parameter_set() -> None:
    every_row_agrees(trained("breast-cancer", trees=20, parameters="s3"), rows=10)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["breast-cancer", "wine", "diabetes"])
def test_every_row_of_an_additive_model(name: str) -> None:
    every_row_agrees(trained(name, kind="linear"))


def test_the_clear_margins_are_the_sums_of_the_leaves() -> None:
    """`quantised_margins` itself, by a walk over the leaves with the manifest's edges and nothing else."""
    one = trained("wine", trees=5, depth=2)
    manifest, model = one.published.manifest, one.published.model
    values = one.held_out.values[:20]
    edges = manifest.edges_per_feature
    for row, margins in zip(values, quantised_margins(one.published, values), strict=True):
        sums = np.zeros(3)
        for leaf, path in enumerate(model.path):  # type: ignore[union-attr]
            agrees = all(
                slot < 0
                or (row[slot // edges] > manifest.features[slot // edges].edges[slot % edges]) == (side == 1)
                for slot, side in zip(path, model.direction[leaf], strict=True)  # type: ignore[union-attr]
            )
            if agrees:
                sums[model.group[model.tree[leaf]]] += model.value[leaf]  # type: ignore[union-attr]
        assert np.allclose(sums / manifest.scale + manifest.offset, margins, rtol=0, atol=1e-12)
