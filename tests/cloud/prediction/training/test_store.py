"""A published model is read back as it was, whole at every moment, or not at all."""

import io
import json
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pericard_cloud.prediction.published import Published
from pericard_cloud.prediction.training import datasets, store
from pericard_cloud.prediction.training.builtin import card_of, publish_when_empty
from pericard_cloud.prediction.training.card import card, markdown, probes, recommended_rows
from pericard_cloud.prediction.training.fit import Trained, Wanted, train
from pericard_cloud.prediction.training.table import Table
from pericard_protocol.errors import PericardError, UsageError
from pericard_protocol.prediction import geometry
from pericard_protocol.prediction.objects import query_bytes, reply_bytes


def made(**wanted: Any) -> Trained:
    return train(datasets.table("wine"), Wanted("wine", **{"trees": 3, "depth": 2, **wanted}))


@pytest.fixture(scope="module")
def one() -> Trained:
    return made()


@pytest.fixture
def models(tmp_path: Path, one: Trained) -> Path:
    store.publish(tmp_path / "models", one.published, card_of(one, "Wine & more"))
    return tmp_path / "models"


def test_what_is_published_is_read_back(models: Path, one: Trained) -> None:
    published, content = store.read(models, "wine")
    assert published.manifest == one.published.manifest
    for name in ("path", "direction", "value", "tree", "group"):
        assert np.array_equal(getattr(published.model, name), getattr(one.published.model, name))
    assert content == json.loads(json.dumps(card_of(one, "Wine & more")))
    assert store.names(models) == ["wine"]


def test_only_the_owner_can_read_the_secret_half(models: Path) -> None:
    folder = (models / "wine").resolve()
    assert folder.stat().st_mode & 0o077 == 0
    assert (models / ".versions").stat().st_mode & 0o077 == 0


def test_a_reader_never_sees_half_of_a_model(models: Path, one: Trained) -> None:
    """Two models whose arrays do not fit each other's manifest, exchanged while another reads."""
    other = made(trees=5)
    stop = threading.Event()
    seen: set[str] = set()
    broken: list[BaseException] = []

    def watch() -> None:
        while not stop.is_set():
            try:
                seen.add(Published.read(models / "wine").manifest.digest)
            except PericardError as error:
                broken.append(error)

    reader = threading.Thread(target=watch)
    reader.start()
    for trained in [other, one] * 20:
        store.publish(models, trained.published, card_of(trained, None))
    stop.set()
    reader.join()
    assert not broken
    assert seen <= {one.published.manifest.digest, other.published.manifest.digest}


def test_versions_of_the_last_hour_stay_and_older_ones_go(models: Path, one: Trained) -> None:
    versions = models / ".versions"
    (old,) = versions.iterdir()
    store.publish(models, one.published, card_of(one, None))
    assert len(list(versions.iterdir())) == 2
    os.utime(old, (0, 0))
    store.publish(models, one.published, card_of(one, None))
    assert len(list(versions.iterdir())) == 2
    assert not old.exists()


def test_another_models_versions_are_left_alone(models: Path, one: Trained) -> None:
    longer = train(datasets.table("wine"), Wanted("wine-2", trees=3, depth=2))
    store.publish(models, longer.published, card_of(longer, None))
    os.utime((models / "wine-2").resolve(), (0, 0))
    store.publish(models, one.published, card_of(one, None))
    assert store.read(models, "wine-2")[0].manifest.name == "wine-2"


def test_what_was_not_published_is_not_overwritten(tmp_path: Path, one: Trained) -> None:
    (tmp_path / "wine").mkdir()
    with pytest.raises(UsageError, match="is no published model"):
        store.publish(tmp_path, one.published, {})


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, one: Trained) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(UsageError, match="cannot be written"):
        store.publish(tmp_path / "models", one.published, card_of(one, None))


def rewritten(models: Path, **changes: Any) -> None:
    """The published arrays, some of them others."""
    folder = (models / "wine").resolve()
    with np.load(folder / store.ARRAYS) as file:
        arrays = {name: file[name] for name in file.files}
    arrays |= changes
    np.savez(folder / store.ARRAYS, allow_pickle=True, **{k: v for k, v in arrays.items() if v is not None})


@pytest.mark.parametrize(
    "changes",
    [
        {"value": None},
        {"more": np.zeros(3, np.int32)},
        {"value": np.zeros(3, np.int32)},
        {"value": np.zeros(3, np.float64)},
        {"value": np.array([{}], object)},
        {"path": np.zeros(3, np.int16)},
        {"path": np.zeros((0, 2), np.int16)},
        {"group": np.zeros((2, 2), np.int32)},
    ],
)
def test_arrays_that_are_not_the_models_are_refused(models: Path, changes: dict[str, Any]) -> None:
    rewritten(models, **changes)
    with pytest.raises(UsageError):
        store.read(models, "wine")


def test_values_that_could_pass_half_of_t_are_refused(models: Path, one: Trained) -> None:
    rewritten(models, value=np.full(len(one.published.model.tree), 30_000, np.int32))  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="quantise more coarsely"):
        store.read(models, "wine")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"\x80\x04N.", b"junk" * 100])
def test_other_bytes_are_no_arrays(models: Path, content: bytes) -> None:
    (models / "wine" / store.ARRAYS).write_bytes(content)
    with pytest.raises(UsageError):
        store.read(models, "wine")


def test_arrays_that_unpack_to_too_much_are_refused_unread(models: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("value.npy", b"\0" * (1 << 27))
    (models / "wine" / store.ARRAYS).write_bytes(out.getvalue())
    with pytest.raises(UsageError, match="unpacks to more"):
        store.read(models, "wine")


@pytest.mark.parametrize("content", [None, b"", b"[]", b"[" * 100_000, b"{" + b" " * (1 << 20) + b"}"])
def test_a_card_that_is_none_is_refused(models: Path, content: bytes | None) -> None:
    path = models / "wine" / store.CARD
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="card"):
        store.read(models, "wine")


def test_a_model_under_another_name_is_refused(models: Path) -> None:
    (models / "other").symlink_to(models / "wine")
    with pytest.raises(UsageError, match="holds the model wine"):
        store.read(models, "other")


def test_an_empty_folder_gets_the_breast_cancer_model_once(tmp_path: Path) -> None:
    assert publish_when_empty(tmp_path / "models")
    assert store.names(tmp_path / "models") == ["breast-cancer"]
    assert not publish_when_empty(tmp_path / "models")


def test_a_folder_with_a_model_gets_no_other(models: Path) -> None:
    assert not publish_when_empty(models)
    assert store.names(models) == ["wine"]


# --- the card


@pytest.mark.parametrize("kind", ["trees", "linear"])
def test_the_cards_figures_are_the_models(kind: str) -> None:
    """Each computed here once more, from the arrays and the rows held out."""
    trained = made(kind=kind)
    content, manifest = card_of(trained, None), trained.published.manifest
    rows = trained.held_out
    right = {"float": 0, "quantised": 0, "same": 0}
    exact = trained.reference.margins(rows.values)
    bits = geometry.thermometer(geometry.bins(rows.values, manifest), manifest).astype(np.uint8)
    for row, target in enumerate(rows.target or ()):
        whole = geometry.answer(trained.published.model.sums(bits[row : row + 1])[0], manifest).label
        real = manifest.classes[int(np.argmax(exact[row]))]
        right["quantised"] += whole == target
        right["float"] += real == target
        right["same"] += whole == real
    count = len(rows.values)
    assert content["accuracy"]["float"] == right["float"] / count
    assert content["accuracy"]["quantised"] == right["quantised"] / count
    assert content["accuracy"]["quantised agrees with float"] == right["same"] / count
    assert content["data"]["rows judged by"] == count
    assert content["data"]["rows trained on"] + count == len(datasets.table("wine").values)
    assert content["size"]["edges"] == sum(len(one.edges) for one in manifest.features)
    assert content["encryption"]["query (bytes a row)"] == query_bytes(manifest, 0, 1)
    assert content["encryption"]["reply (bytes a row)"] == reply_bytes(manifest, 0, 1)
    if kind == "trees":
        path = trained.published.model.path  # type: ignore[union-attr]
        assert content["size"]["leaves"] == len(path)
        assert content["size"]["trees"] == 9
        assert content["size"]["depth"] == max(int((one >= 0).sum()) for one in path)


def test_a_regressions_card_says_how_much_it_explains() -> None:
    trained = train(datasets.table("diabetes"), Wanted("diabetes", trees=5))
    content, rows = card_of(trained, None), trained.held_out
    known = np.array([float(one) for one in rows.target or ()])
    guessed = trained.reference.margins(rows.values)[:, 0]
    assert content["accuracy"]["float"] == pytest.approx(
        1 - np.var(known - guessed) / np.var(known), abs=0.05
    )
    assert content["accuracy"]["measure"] == "R²"


def test_a_card_without_a_target_says_only_how_often_the_models_agree(one: Trained) -> None:
    rows = Table(one.held_out.names, one.held_out.values, None, "", "rows.csv")
    content = card(one.published, one.reference, rows, trained_rows=0)
    assert "float" not in content["accuracy"]
    assert content["accuracy"]["quantised agrees with float"] > 0.9


def test_the_quota_makes_copying_last_a_month(one: Trained) -> None:
    days = min(1000, probes(one.published)) / recommended_rows(one.published)
    assert days >= 30


def test_names_from_a_file_become_no_markup(one: Trained) -> None:
    text = markdown(card_of(one, "<script>[x](javascript:y)*"))
    assert "<script>" not in text.replace("\\<", "")
    assert "](" not in text.replace("\\]", "")
