"""The kit's commands as a user runs them, against a portal on loopback that computes a linear model."""

import json
import math
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tests.client.conftest import WEIGHTS
from tests.parts import prediction as spec
from tests.parts.portal_stand_in import TOKEN, StandInPortal
from tests.parts.seal_peer import Cloud

from pericard_client.cli import client
from pericard_protocol.errors import PericardError
from pericard_protocol.prediction import objects

TABLE = "age,pulse\n2,100\n1,1\n9,65\n"
# Thermometer bits of each row by hand: ages above 1.5, 2.5, 4; pulses above 60, 72.5 (and an empty place).
BITS = np.array([[1, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]])
MARGINS = [float((row * WEIGHTS).sum()) / 100 + 0.25 for row in BITS]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(client, [str(one) for one in arguments])


def done(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def failed(*arguments: str | Path) -> str:
    """What an error of ours says."""
    result = run(*arguments)
    assert isinstance(result.exception, PericardError), (result.output, result.exception)
    return str(result.exception)


@pytest.fixture
def table(home: Path) -> Path:
    path = home.parent / "features.csv"
    path.write_text(TABLE)
    return path


def _check(shown: str) -> None:
    found = json.loads(shown)
    assert found["model"] == "small"
    assert [one["margins"] for one in found["rows"]] == [[pytest.approx(margin)] for margin in MARGINS]
    for one, margin in zip(found["rows"], MARGINS, strict=True):
        assert one["probabilities"][1] == pytest.approx(1 / (1 + math.exp(-margin)))
        assert one["label"] == ("malignant" if margin > 0 else "benign")


def test_predict_in_one_command_leaves_nothing_at_the_portal(portal: StandInPortal, table: Path) -> None:
    result = run("predict", portal.url, "small", table, "--any-value", "--json")
    assert result.exit_code == 0, result.exception
    _check(result.stdout)
    assert "encrypting" in result.stderr
    assert portal.keys == {}
    assert portal.jobs == {}


@pytest.mark.slow
def test_predict_with_a_key_of_ones_own_uploads_it_once(portal: StandInPortal, table: Path) -> None:
    done("keys", "new", "mine")
    for _ in range(2):
        _check(done("predict", portal.url, "small", table, "--any-value", "--json", "--key", "mine"))
    assert len(portal.keys) == 1
    assert [path for method, path, *_ in portal.seen if method == "POST"].count("/api/v1/keys") == 1


def test_a_portal_sees_ciphertexts_alone(portal: StandInPortal, table: Path) -> None:
    """Two inputs of as many rows give requests of the same paths and sizes, and no value is in any."""
    shapes = []
    for text in (TABLE, TABLE.replace("100", "31").replace("65", "72")):
        portal.seen.clear()
        table.write_text(text)
        done("predict", portal.url, "small", table, "--any-value")
        posted = [
            (method, path.rsplit("=", 1)[0], len(body))
            for method, path, _, body in portal.seen
            if method == "POST"
        ]
        shapes.append(posted)
        assert all(b"100" not in body[:76] and b"age" not in body for *_, body in portal.seen)
    assert shapes[0] == shapes[1]
    assert len(shapes[0]) == 2


@pytest.mark.slow
def test_by_hand_encrypt_and_decrypt(portal: StandInPortal, table: Path, home: Path) -> None:
    done("models", portal.url, "--save", "small")
    done("keys", "new", "mine", "--model", "small.json")
    for mode in ("rows", "columns", "auto"):
        said = done(
            "encrypt", "small.json", table, "--any-value", "--key", "mine", "-o", "query.pcq", "--mode", mode
        )
        assert "3 rows" in said
        keys = objects.parse_keys((home / "keys/mine.pck").read_bytes())
        query = Path("query.pcq").read_bytes()
        Path("reply.pcr").write_bytes(Cloud(keys).linear(spec.linear(), query, WEIGHTS, keys.fingerprint))
        _check(done("decrypt", "reply.pcr", "--json"))
    text = done("decrypt", "reply.pcr").splitlines()
    assert text[0].split() == ["row", "answer", "benign", "malignant"]
    assert text[2].split() == ["2", "malignant", "0.438", "0.562"]
    (home / "models" / f"{spec.linear().digest}.json").unlink()
    assert "--model" in failed("decrypt", "reply.pcr")
    _check(done("decrypt", "reply.pcr", "--json", "--model", "small.json"))


@pytest.mark.slow
def test_a_reply_of_another_key_or_model_is_not_opened(
    portal: StandInPortal, table: Path, home: Path
) -> None:
    done("models", portal.url, "--save", "small", "-o", "model.json")
    done("keys", "new", "mine")
    done("encrypt", "model.json", table, "--any-value", "--key", "mine", "-o", "query.pcq")
    keys = objects.parse_keys((home / "keys/mine.pck").read_bytes())
    reply = Cloud(keys).linear(spec.linear(), Path("query.pcq").read_bytes(), WEIGHTS, keys.fingerprint)
    Path("reply.pcr").write_bytes(reply)
    Path("other.json").write_text(spec.linear(offset=[1.0]).to_json())
    assert "another model" in failed("decrypt", "reply.pcr", "--model", "other.json")
    assert "neither" in failed("decrypt", table)
    done("keys", "delete", "mine", "--yes")
    assert "no key here" in failed("decrypt", "reply.pcr")


@pytest.mark.slow
def test_keys_are_sealed_and_nobody_elses(home: Path) -> None:
    done("keys", "new", "mine")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [home, *home.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    found = json.loads(done("keys", "list", "--json"))
    assert [one["name"] for one in found] == ["mine"]
    assert found[0]["fingerprint"] in done("keys", "show", "mine")
    assert json.loads(done("keys", "show", "mine", "--json")) == found[0]
    assert "already" in failed("keys", "new", "mine")
    for name in ("../x", "", ".hidden", "a b"):
        assert "name has" in failed("keys", "new", name)
    assert "there is no key other" in failed("keys", "show", "other")
    os.chmod(home / "keys/mine.json", 0o640)
    assert "read by others" in failed("keys", "show", "mine")


@pytest.mark.slow
def test_an_export_opens_in_another_home(home: Path, monkeypatch: pytest.MonkeyPatch, table: Path) -> None:
    done("keys", "new", "mine")
    phrase = home.parent / "phrase"
    phrase.write_text("another passphrase\n")
    assert "read by others" in failed(
        "keys", "export", "mine", "-o", "out.json", "--export-passphrase-file", phrase
    )
    phrase.chmod(0o600)
    done("keys", "export", "mine", "-o", "out.json", "--export-passphrase-file", phrase)
    assert stat.S_IMODE(Path("out.json").stat().st_mode) == 0o600
    monkeypatch.setenv("PERICARD_CLIENT_HOME", str(home.parent / "laptop"))
    assert "does not open" in failed("keys", "import", "out.json", "mine")
    done("keys", "import", "out.json", "mine", "--passphrase-file", phrase)
    assert json.loads(done("keys", "show", "mine", "--json"))["public"] == "not here"
    assert "no key export" in failed("keys", "import", table, "other")


def test_deleting_asks_first(home: Path) -> None:
    done("keys", "new", "mine")
    assert CliRunner().invoke(client, ["keys", "delete", "mine"], input="n\n").exit_code == 1
    assert done("keys", "list").count("mine") == 1
    assert CliRunner().invoke(client, ["keys", "delete", "mine"], input="y\n").exit_code == 0
    assert "mine" not in done("keys", "list")
    assert list((home / "keys").iterdir()) == []


def test_without_anybody_to_ask_the_passphrase_must_be_given(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERICARD_PASSPHRASE")
    assert "--passphrase-file" in failed("keys", "new", "mine")
    monkeypatch.setenv("PERICARD_PASSPHRASE", "short")
    assert "8 characters" in failed("keys", "new", "mine")
    assert not home.exists()


def test_a_wrong_table_is_refused_before_anything_is_sent(portal: StandInPortal, table: Path) -> None:
    table.write_text("age,pulse\n1,NaN\n")
    assert "row 1 (line 2), column 'pulse'" in failed("predict", portal.url, "small", table)
    assert [method for method, *_ in portal.seen] == ["GET"]


def test_models_lists_and_saves(portal: StandInPortal, home: Path) -> None:
    assert done("models", portal.url).splitlines()[1].split() == ["small", "linear", "binary", "2"]
    assert json.loads(done("models", portal.url, "--json"))[0]["features"] == 2
    assert "refuses (404): There is nothing here." in failed("models", portal.url, "--save", "large")


def test_doctor(portal: StandInPortal, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done("keys", "new", "mine")
    found: list[dict[str, Any]] = json.loads(done("doctor", portal.url, "--json"))
    assert [(one["what"], one["well"]) for one in found] == [
        ("SEAL", True),
        ("keys", True),
        ("portal", True),
        ("token", True),
    ]
    monkeypatch.setenv("PERICARD_TOKEN", "pct_old")
    os.chmod(home / "keys/mine.json", 0o644)
    result = run("doctor", portal.url)
    assert result.exit_code == 1
    assert result.stdout.count("NOT WELL") == 2
    assert "account page" in result.stdout


@pytest.mark.slow
def test_the_console_script_ends_with_1_and_one_line(home: Path) -> None:
    script = Path(sys.executable).with_name("pericard-client")
    ended = subprocess.run([script, "keys", "show", "nobody"], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: there is no key nobody")
    assert subprocess.run([script, "decrypt"], capture_output=True, timeout=60).returncode == 2


def test_no_token_is_printed(portal: StandInPortal, table: Path) -> None:
    portal.refuse = lambda method, path: (403, {"message": "no"}) if "jobs" in path else None
    result = run("predict", portal.url, "small", table, "--any-value")
    assert isinstance(result.exception, PericardError)
    assert TOKEN not in result.output + str(result.exception) + repr(result.exception)
    assert portal.keys == {}
