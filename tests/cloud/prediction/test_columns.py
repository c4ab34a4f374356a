"""Batches: every row of data gets its answer, whatever slot it is in; and additive models in both modes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cloud.prediction.test_worker import publish
from tests.parts.predicting import Client, ensemble, honest_bits, manifest_of

from pericard_cloud.prediction import columns, linear, worker
from pericard_cloud.prediction.evaluate import evaluate
from pericard_cloud.prediction.model import LinearModel, TreeModel
from pericard_cloud.prediction.published import Published
from pericard_protocol.errors import UsageError
from pericard_protocol.prediction import geometry
from pericard_protocol.prediction.errors import MalformedObject


def read_columns(
    folder: Path, model: TreeModel | LinearModel, bits: Any, **shape: Any
) -> geometry.DecryptedScores:
    """What the worker's reply to a query in mode columns says."""
    manifest = manifest_of(model, **shape)
    client = Client(manifest)
    packed = worker.evaluate(
        publish(folder, model, manifest), client.keys, client.query_columns(bits), 0, len(bits)
    )
    reading = geometry.read_columns(client.decoded(client.unpacked(packed)), manifest, len(bits))
    for zeros, sums in zip(*reading, strict=True):
        geometry.check(geometry.DecryptedScores(zeros, sums), manifest)
    return reading


@pytest.mark.parametrize(("classes", "rows"), [(1, 4096), (3, 5)])
def test_every_row_of_a_batch_is_answered_as_in_the_clear(tmp_path: Path, classes: int, rows: int) -> None:
    rng = np.random.default_rng(rows)
    model = ensemble(rng, 3, 3, slots=24, classes=classes)
    bits = honest_bits(rng, rows, 6, 4)
    reading = read_columns(tmp_path, model, bits, features=6, edges=4)
    assert reading.sums.tolist() == model.sums(bits).tolist()


@pytest.mark.slow
def test_a_batch_of_a_real_models_size_is_answered_as_in_the_clear(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    model, bits = ensemble(rng, 20, 3, stop=0.1), honest_bits(rng, 1000)
    reading = read_columns(tmp_path, model, bits)
    assert reading.sums.tolist() == model.sums(bits).tolist()


def test_the_order_of_trees_and_leaves_is_fresh(tmp_path: Path) -> None:
    """One row, asked twice: the places of the leaves that it reaches differ."""
    rng = np.random.default_rng(4)
    model, bits = ensemble(rng, 3, 2, slots=6, stop=0.0), honest_bits(rng, 64, 3, 2)
    manifest = manifest_of(model, features=3, edges=2)
    client = Client(manifest)
    folder = publish(tmp_path, model, manifest)
    reached = []
    for _ in range(2):
        packed = worker.evaluate(folder, client.keys, client.query_columns(bits[:1].repeat(64, 0)), 0, 64)
        slots = np.stack(client.decoded(client.unpacked(packed)))[:, :64]
        reached.append(slots.reshape(3, 2, 4, 64)[:, 0] == 0)
    assert (reached[0].sum(axis=1) == 1).all()
    assert (reached[0] != reached[1]).any()
    # 64 slots ask the same, and not all of them have it in one place: each does with probability 1/4.
    assert (reached[0].sum(axis=2) < 64).all()


def test_deep_trees_have_no_batches(tmp_path: Path) -> None:
    model = ensemble(np.random.default_rng(5), 2, 4, slots=24)
    manifest = manifest_of(model, features=6, edges=4)
    assert columns.leaves_for(model) == manifest.columns == 0
    client = Client(manifest)
    query = bytearray(client.query(honest_bits(np.random.default_rng(6), 1, 6, 4)))
    query[6] = 1
    with pytest.raises(MalformedObject, match="mode 1"):
        worker.evaluate(publish(tmp_path, model, manifest), client.keys, bytes(query), 0, 1)


def test_a_batch_is_answered_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    model = ensemble(rng, 2, 2, slots=6)
    manifest = manifest_of(model, features=3, edges=2)
    client = Client(manifest)
    query = client.query_columns(honest_bits(rng, 5, 3, 2))
    with pytest.raises(UsageError, match="whole"):
        worker.evaluate(publish(tmp_path, model, manifest), client.keys, query, 0, 4)


def test_every_tree_decides_by_as_many_slots_and_has_as_many_leaves() -> None:
    rng = np.random.default_rng(8)
    model = ensemble(rng, 20, 3, slots=9, stop=0.5)
    for number in range(20):
        tree = columns.column_tree(model, number, 8, 24)
        assert len(tree.slots) == len(set(tree.slots.tolist())) == 7
        assert tree.path.shape == (8, 3)
        own = np.flatnonzero(model.tree == number)
        assert (tree.value[: len(own)] == model.value[own]).all()


@settings(max_examples=5)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 10]), st.sampled_from(["s1", "s3"]))
def test_an_additive_model_answers_as_in_the_clear(seed: int, classes: int, parameters: str) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-20, 21, (classes, 930)).astype(np.int32)
    weight[0] *= seed % 2  # half of the models have a class without any weight
    model = LinearModel(weight)
    manifest = manifest_of(model, parameters=parameters)
    published, client = Published(manifest, model), Client(manifest)
    bits = honest_bits(rng, 1)
    query = client.fresh(geometry.slots(bits[0].astype(np.uint64), manifest))
    reply = evaluate(query, published.prepare(), published.layout, published.engine, client.loaded)
    assert client.read(reply).sums.tolist() == model.sums(bits)[0].tolist()


def test_an_additive_model_answers_a_batch(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    weight = rng.integers(-200, 201, (3, 24)).astype(np.int32)
    weight[1] = 0
    weight[0, 0] = 0
    bits = honest_bits(rng, 7, 6, 4)
    reading = read_columns(tmp_path, LinearModel(weight), bits, features=6, edges=4)
    assert reading.sums.tolist() == LinearModel(weight).sums(bits).tolist()


def test_an_additive_models_slots_tell_nothing_but_their_sum() -> None:
    """Slots of two replies to one query differ everywhere, and copies that disagree give a random sum."""
    rng = np.random.default_rng(10)
    model = LinearModel(rng.integers(-20, 21, (1, 930)).astype(np.int32))
    manifest = manifest_of(model)
    published, client = Published(manifest, model), Client(manifest)
    honest = geometry.slots(honest_bits(rng, 1)[0].astype(np.uint64), manifest)
    torn = honest.copy()
    torn[0] ^= np.uint64(1)  # one copy of one bit

    def ask(slots: Any) -> Any:
        query = client.fresh(slots)
        reply = evaluate(query, published.prepare(), published.layout, published.engine, client.loaded)
        return client.decoded(reply)[0]

    first, second = ask(honest), ask(honest)
    assert (first == second).mean() < 0.01
    assert (int(first.sum()) - int(second.sum())) % 40961 == 0
    assert len({int(ask(torn).sum()) % 40961 for _ in range(4)}) == 4


def test_the_spread_weight_is_the_weight() -> None:
    rng = np.random.default_rng(11)
    model = LinearModel(rng.integers(-20, 21, (1, 930)).astype(np.int32))
    layout = Published(manifest_of(model), model).layout
    spread = linear.spread(model.weight[0], layout).reshape(2, layout.inputs, layout.copies)
    whole = spread.sum(axis=(0, 2)) % np.uint64(layout.modulus)
    assert (whole[:930] == np.mod(model.weight[0], layout.modulus)).all()
    assert not whole[930:].any()
    assert int(linear.masks(layout).sum()) % layout.modulus == 0
