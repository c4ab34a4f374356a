"""The seam of the portal: containers in, packed ciphertexts out; what is not what it claims is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.parts.predicting import Client, ensemble, honest_bits, manifest_of

from pericard_cloud.prediction import model as models
from pericard_cloud.prediction import worker
from pericard_cloud.prediction.model import LinearModel, TreeModel
from pericard_cloud.prediction.published import MANIFEST, Published
from pericard_edge.confined import ConfinedExecutor, Limits, WorkerFailed
from pericard_protocol.errors import PeerError, UsageError
from pericard_protocol.prediction import geometry
from pericard_protocol.prediction.errors import BadManifest, MalformedObject, OtherKeys, OtherModel
from pericard_protocol.prediction.manifest import Manifest
from pericard_protocol.prediction.objects import join_reply, parse_reply

ROWS = 3


def publish(folder: Path, model: TreeModel | LinearModel, manifest: Manifest) -> str:
    folder.mkdir(exist_ok=True)
    models.save(model, folder)
    (folder / MANIFEST).write_text(manifest.to_json())
    return str(folder)


class Asked:
    """A published model, a client of it and a query."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.model = ensemble(rng, 9, 3, classes=3)
        self.manifest = manifest_of(self.model, name=f"model-{seed}")
        self.folder = publish(folder, self.model, self.manifest)
        self.client = Client(self.manifest)
        self.bits = honest_bits(rng, ROWS)
        self.query = self.client.query(self.bits)

    def sums(self, ciphertexts: tuple[bytes, ...]) -> list[list[int]]:
        size = len(self.manifest.plan)
        found = []
        for row in range(0, len(ciphertexts), size):
            reading = self.client.read(self.client.unpacked(ciphertexts[row : row + size]))
            geometry.check(reading, self.manifest)
            found.append(reading.sums.tolist())
        return found


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    return Asked(tmp_path_factory.mktemp("models") / "test")


def test_rows_are_answered_in_any_parts(asked: Asked) -> None:
    wanted = asked.model.sums(asked.bits).tolist()
    parts = [
        worker.evaluate(asked.folder, asked.client.keys, asked.query, *part) for part in ((0, 2), (2, 1))
    ]
    assert [asked.sums(part) for part in parts] == [wanted[:2], wanted[2:]]


def test_what_it_returns_joins_to_a_reply(asked: Asked) -> None:
    packed = worker.evaluate(asked.folder, asked.client.keys, asked.query, 0, ROWS)
    reply = join_reply(asked.manifest, 0, ROWS, asked.client.fingerprint, packed)
    parsed = parse_reply(reply, asked.manifest, asked.client.fingerprint)
    reading = asked.client.read(list(parsed.ciphertexts(1)))
    assert reading.sums.tolist() == asked.model.sums(asked.bits)[1].tolist()


@pytest.mark.slow
def test_it_runs_where_the_portal_runs_it(asked: Asked) -> None:
    executor = ConfinedExecutor(1, Limits(memory_bytes=2 << 30))
    try:
        whole = (asked.folder, asked.client.keys, asked.query, 0, ROWS)
        first = executor.submit(worker.evaluate, *whole)
        assert asked.sums(first.result(60)) == asked.model.sums(asked.bits).tolist()
        with pytest.raises(WorkerFailed, match="MalformedObject: query"):
            executor.submit(worker.evaluate, *whole[:2], asked.query[:-1], 0, ROWS).result(60)
        again = executor.submit(worker.evaluate, *whole)
        assert asked.sums(again.result(60)) == asked.model.sums(asked.bits).tolist()
    finally:
        executor.shutdown()


def test_plaintexts_that_were_prepared_answer_one_query(asked: Asked) -> None:
    ahead = worker._Ahead()
    published = Published(asked.manifest, asked.model)
    other = Published(asked.manifest, asked.model)
    ahead.start(published)
    ahead._wait()
    (ready,) = ahead._prepared
    ahead.start(published)  # it is there already
    assert ahead._prepared == [ready]
    assert ahead.take(other) is not ready  # another model's
    assert ahead.take(published) is ready
    assert ahead.take(published) is not ready
    ahead.start(published)
    ahead.start(other)  # one query's only
    ahead._wait()
    assert len(ahead._prepared) == 1
    assert ahead.take(published) not in ahead._prepared


def test_a_row_that_is_malformed_uses_up_nothing(asked: Asked) -> None:
    worker.evaluate(asked.folder, asked.client.keys, asked.query, 0, 1)
    worker._ahead._wait()
    ready = worker._ahead._prepared[0]
    damaged = bytearray(asked.query)
    damaged[76:90] = b"\xff" * 14
    with pytest.raises(MalformedObject, match="below its prime"):
        worker.evaluate(asked.folder, asked.client.keys, bytes(damaged), 0, 1)
    assert worker._ahead._prepared == [ready]


def test_keys_of_other_steps_do_not_serve(asked: Asked) -> None:
    stranger = Client(asked.manifest, steps=(1, 4))
    with pytest.raises(OtherKeys, match="Galois steps 2, 32"):
        worker.evaluate(asked.folder, stranger.keys, stranger.query(asked.bits), 0, 1)


def test_keys_of_other_parameters_do_not_serve(asked: Asked, tmp_path: Path) -> None:
    wider = Client(manifest_of(asked.model, parameters="s3"))
    with pytest.raises(OtherKeys):
        worker.evaluate(asked.folder, wider.keys, asked.query, 0, 1)


def test_another_users_query_is_not_answered_under_these_keys(asked: Asked) -> None:
    other = Client(asked.manifest)
    with pytest.raises(OtherKeys, match="other keys"):
        worker.evaluate(asked.folder, other.keys, asked.query, 0, 1)


def test_a_query_for_another_model_is_not_answered(asked: Asked, tmp_path: Path) -> None:
    other = Asked(tmp_path / "other", seed=2)
    query = asked.client.query(asked.bits)
    with pytest.raises(OtherModel):
        worker.evaluate(other.folder, asked.client.keys, query, 0, 1)


@pytest.mark.parametrize("part", [(-1, 1), (0, 0), (0, ROWS + 1), (ROWS, 1)])
def test_rows_that_the_query_does_not_have(asked: Asked, part: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="rows"):
        worker.evaluate(asked.folder, asked.client.keys, asked.query, *part)


@pytest.mark.parametrize("what", ["keys", "query"])
def test_any_damage_is_refused_or_leaves_words_that_are_residues(asked: Asked, what: str) -> None:
    """Refused as the peer's fault, or answered with words below their primes: nothing else, and no crash."""
    rng = np.random.default_rng(5)
    whole = asked.client.keys if what == "keys" else asked.query
    for _ in range(12):
        damaged = bytearray(whole)
        at = int(rng.integers(len(damaged)))
        damaged[at : at + 8] = rng.bytes(len(damaged[at : at + 8]))
        keys, query = (damaged, asked.query) if what == "keys" else (asked.client.keys, damaged)
        try:
            packed = worker.evaluate(asked.folder, bytes(keys), bytes(query), 0, 1)
        except PeerError:
            continue
        assert len(packed) == len(asked.manifest.plan)


@pytest.mark.parametrize("junk", [b"", b"PCKY", bytes(200), b"\x5e\xa1\x10\x04" * 50])
def test_junk_is_no_container(asked: Asked, junk: bytes) -> None:
    with pytest.raises(MalformedObject):
        worker.evaluate(asked.folder, junk, asked.query, 0, 1)
    with pytest.raises(MalformedObject):
        worker.evaluate(asked.folder, asked.client.keys, junk, 0, 1)


def test_a_model_published_anew_is_read_anew(tmp_path: Path) -> None:
    before = Asked(tmp_path / "model", seed=3)
    worker.evaluate(before.folder, before.client.keys, before.query, 0, 1)
    after = Asked(tmp_path / "model", seed=4)
    with pytest.raises(OtherModel):
        worker.evaluate(before.folder, before.client.keys, before.query, 0, 1)
    answer = worker.evaluate(after.folder, after.client.keys, after.query, 0, 1)
    assert after.sums(answer) == after.model.sums(after.bits)[:1].tolist()


def test_a_model_is_what_was_saved(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    for saved in (ensemble(rng, 4, 3), LinearModel(rng.integers(-5, 6, (2, 9)).astype(np.int32))):
        models.save(saved, tmp_path)
        loaded = models.load(tmp_path)
        assert type(loaded) is type(saved)
        for name, array in vars(saved).items():
            assert np.array_equal(array, getattr(loaded, name))


def test_what_is_no_model_is_refused(tmp_path: Path, asked: Asked) -> None:
    nothing = tmp_path / "nothing"
    with pytest.raises(UsageError, match="no model in nothing"):
        worker.evaluate(str(nothing), asked.client.keys, asked.query, 0, 1)
    nothing.mkdir()
    (nothing / MANIFEST).write_text(asked.manifest.to_json())
    with pytest.raises(UsageError, match="no model in nothing"):
        worker.evaluate(str(nothing), asked.client.keys, asked.query, 0, 1)
    np.savez(nothing / models.ARRAYS, path=np.array([{}], object))
    with pytest.raises(UsageError, match="no model in nothing"):
        worker.evaluate(str(nothing), asked.client.keys, asked.query, 0, 1)
    np.savez(nothing / models.ARRAYS, weight=np.zeros((1, 3)))
    with pytest.raises(UsageError, match="other arrays"):
        worker.evaluate(str(nothing), asked.client.keys, asked.query, 0, 1)
    changed = json.loads(asked.manifest.to_json())
    (nothing / MANIFEST).write_text(json.dumps(changed | {"scale": 2.0}))
    with pytest.raises(BadManifest):
        worker.evaluate(str(nothing), asked.client.keys, asked.query, 0, 1)


def _changed(model: TreeModel, **arrays: Any) -> TreeModel:
    return TreeModel(**(vars(model) | arrays))


def test_a_model_whose_answers_would_be_wrong_is_not_served(asked: Asked) -> None:
    model, manifest = asked.model, asked.manifest
    with pytest.raises(UsageError, match="may pass t/2"):
        Published(manifest, _changed(model, value=np.full_like(model.value, 10_000)))
    with pytest.raises(UsageError, match="publish it again"):
        Published(manifest_of(model, plan=(8,), blocks=(((0, 4),), ((4, 8),), ((8, 12),))), model)
    with pytest.raises(UsageError, match="publish it again"):
        Published(manifest, ensemble(np.random.default_rng(9), 8, 3, classes=3))
    with pytest.raises(UsageError, match="publish it again"):
        Published(manifest, _changed(model, path=np.full_like(model.path, 1000)))


@pytest.mark.parametrize(
    "arrays",
    [
        {"path": np.zeros((3, 9), np.int16), "direction": np.zeros((3, 9), np.int8)},
        {"direction": np.full((3, 2), 2, np.int8)},
        {"path": np.full((3, 2), -2, np.int16)},
        {"value": np.zeros(2, np.int32)},
        {"tree": np.array([0, 0, 2], np.int32)},
        {"tree": np.zeros(2, np.int32)},
        {"group": np.array([0, 2], np.int32)},
    ],
)
def test_arrays_that_are_no_ensemble(arrays: dict[str, Any]) -> None:
    whole: dict[str, Any] = {
        "path": np.zeros((3, 2), np.int16),
        "direction": np.zeros((3, 2), np.int8),
        "value": np.zeros(3, np.int32),
        "tree": np.array([0, 0, 1], np.int32),
        "group": np.array([0, 1], np.int32),
    }
    TreeModel(**whole)
    with pytest.raises(UsageError):
        TreeModel(**(whole | arrays))
