"""A visitor's whole way in a real Chromium: what they read is what the model says in the clear."""

import json
import re
import secrets
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from tests.parts.blind_client import BlindClient, tree_model
from tests.parts.portal import Portal

from pericard_client.export import KeyExport, open_key
from pericard_protocol.prediction import geometry
from pericard_protocol.prediction.manifest import Manifest

# With so many digits, none of these numbers is in a request by chance.
ROWS = [[1.0203040506, 2.0406080102], [3.0609010203, 5.0102030405], [8.9070503011, 0.1020304051]]
AXE = Path(__file__).parents[3] / "client/browser/node_modules/axe-core/axe.min.js"
PASSPHRASE = "seven words that nobody would guess"  # noqa: S105 - of a key that the test makes
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def expected(portal: Portal) -> list[geometry.Answer]:
    manifest = Manifest.from_json((portal.folder / "models" / "small" / "model.json").read_text())
    sums = BlindClient(manifest).expected(tree_model(), ROWS)
    return [geometry.answer(np.array([one]), manifest) for one in sums]


def predict(one: Any, row: list[float]) -> Any:
    """Types a row and waits for its answer."""
    page = one.go("/models/small/")
    one.ready()
    for at, value in enumerate(row):
        page.fill(f"#feature-{at}", str(value))
    page.click("#predict")
    page.wait_for_selector("#answer [data-label]", timeout=60_000)
    return page


@pytest.mark.parametrize("at", range(len(ROWS)))
def test_the_answer_is_the_models_and_nothing_else_leaves_the_browser(
    visit: Callable[..., Any], portal: Portal, expected: list[geometry.Answer], at: int
) -> None:
    one = visit()
    one.register(f"user-{secrets.token_hex(4)}")
    page = predict(one, ROWS[at])
    assert page.get_attribute("#answer [data-label]", "data-label") == expected[at].label
    shown = json.loads(page.get_attribute("#answer [data-probabilities]", "data-probabilities"))
    assert shown == pytest.approx(expected[at].probabilities, abs=1e-12)
    assert {urlsplit(url).netloc for url, _ in one.requests} == {urlsplit(portal.address).netloc}
    assert {body[:4] for _, body in one.requests} >= {b"PCKY", b"PCQY"}  # bodies are seen whole
    sent = b"".join(url.encode() + body for url, body in one.requests)
    for value in ROWS[at]:
        assert str(value).encode() not in sent
        assert struct.pack("<d", value) not in sent
    assert one.complaints == []


def test_a_file_of_many_rows_is_answered_row_by_row(
    visit: Callable[..., Any], expected: list[geometry.Answer], tmp_path: Path, portal: Portal
) -> None:
    manifest = json.loads((portal.folder / "models" / "small" / "model.json").read_text())
    names = ",".join(feature["name"] for feature in manifest["features"])
    table = tmp_path / "rows.csv"
    table.write_text("\n".join([names, *(",".join(map(str, row)) for row in ROWS)]) + "\n")
    one = visit()
    one.register(f"user-{secrets.token_hex(4)}")
    page = one.go("/models/small/")
    one.ready()
    page.set_input_files("#row-file", table)
    page.wait_for_selector("#client-status.success")
    page.click("#predict")
    page.wait_for_selector("#answer tr[data-label]", timeout=60_000)
    shown = [row.get_attribute("data-label") for row in page.query_selector_all("#answer tr[data-label]")]
    assert shown == [answer.label for answer in expected]


def test_a_key_moves_to_the_kit_and_to_another_browser(visit: Callable[..., Any], tmp_path: Path) -> None:
    first, name = visit(), f"user-{secrets.token_hex(4)}"
    first.register(name)
    page = first.go("/keys/")
    first.ready()
    page.click("#make-keys")
    page.wait_for_selector("[data-key]", timeout=60_000)
    first.ready()
    page.fill("#passphrase", PASSPHRASE)
    with page.expect_download(timeout=60_000) as download:
        page.click("#export-keys")
    file = tmp_path / "key.json"
    download.value.save_as(file)
    export = KeyExport.from_json(file.read_bytes())
    opened = open_key(export, PASSPHRASE)
    assert opened.fingerprint.hex() == page.get_attribute("[data-local-key]", "data-local-key")

    second = visit(storage_state={**first.context.storage_state(), "origins": []})
    page = second.go("/keys/")
    second.ready()
    assert page.query_selector("[data-local-key]") is None
    page.set_input_files("#import-file", file)
    page.fill("#passphrase", PASSPHRASE)
    page.click("#import-keys")
    page.wait_for_selector("[data-local-key]", timeout=60_000)
    assert page.get_attribute("[data-local-key]", "data-local-key") == export.fingerprint
    assert first.complaints == second.complaints == []


def test_the_page_speaks_french_on_a_phone(visit: Callable[..., Any]) -> None:
    one = visit(locale="fr-FR", viewport={"width": 360, "height": 740}, color_scheme="dark")
    one.register(f"user-{secrets.token_hex(4)}")
    page = predict(one, ROWS[0])
    assert page.inner_text("#client-status").startswith("Terminé.")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", background)[:3])) < 128, background
    assert one.complaints == []


@pytest.mark.skipif(not AXE.exists(), reason="npm's packages are not installed: make browser-client")
def test_the_pages_are_accessible(visit: Callable[..., Any]) -> None:
    """By axe-core, in both colours: names of controls, order of headings, contrast."""
    for colours in ("light", "dark"):
        one = visit(color_scheme=colours)
        one.register(f"user-{secrets.token_hex(4)}")
        for path in ("/models/small/", "/keys/"):
            page = one.go(path)
            one.ready()
            page.evaluate(AXE.read_text())
            found = page.evaluate("axe.run()")
            assert len(found["passes"]) > 10
            assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"]] == []
