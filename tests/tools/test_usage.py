"""What an operator mistypes is named and ends with exit code 2, and nothing is touched."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.parts.board import BIN
from tests.parts.crash import dumps_core

from pericard_tools.board.virtual import VirtualBoard

pytestmark = pytest.mark.slow  # each runs the command


def mistyped(*words: str | Path, folder: Path) -> str:
    """What the command says on stderr, which is a sentence and no traceback; it exits with 2."""
    done = subprocess.run([BIN / "pericard", *words], capture_output=True, text=True, timeout=60, cwd=folder)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    flash = tmp_path_factory.mktemp("board")
    with VirtualBoard(flash) as board:
        yield board.port
        assert list(flash.iterdir()) == [], "the board was touched"


NOWHERE = "/dev/pericard-nothing"
DEVICE = ("--device", "1", "--owner", "amy", "--age", "50")
REGISTRY = ("--registry", "devices.json")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["flash", NOWHERE], NOWHERE),
        (["flash", "PORT", "--recording", "--speed", "nan"], "speed"),
        (["flash", "PORT", "--recording", "--speed", "0"], "speed"),
        (["flash", "PORT", "--speed", "2"], "--recording"),
        (["flash", "PORT", "--config", "missing.py"], "missing.py"),
        (["flash", "PORT", "--config", "broken.py"], "broken.py"),
        (["flash", "PORT", "--config", "misspelt.py"], "misspelt.py, line 2: SENSORS"),
        (["emulate", "amy", "amy"], "differ"),
        (["emulate", ".."], "'..'"),
        (["emulate", ""], "''"),
        (["emulate", "a/b"], "'a/b'"),
        (["emulate", "amy", "--directory", "broken.py/boards"], "broken.py"),
        (["emulate", "amy", "--recording", "--speed", "inf"], "speed"),
        (["emulate", "amy", "--recording", "--speed", "amy=fast"], "fast"),
        (["emulate", "amy", "--recording", "--speed", "bob=2"], "bob"),
        (["emulate", "amy", "--speed", "2"], "--recording"),
        (["emulate", "amy", "--replay", "amy=missing.rr"], "missing.rr"),
        (["emulate", "amy", "--replay", "amy=broken.py"], "broken.py"),
        (["emulate", "amy", "--replay", "bob=beats.rr"], "bob"),
        (["provision", NOWHERE, *DEVICE, *REGISTRY], NOWHERE),
        (["provision", "PORT", *DEVICE], "--kms"),
        (["provision", "PORT", "--device", "0", "--owner", "a", "--age", "5", *REGISTRY], "device id"),
        (["provision", "PORT", "--device", "1", "--owner", "", "--age", "5", *REGISTRY], "owner"),
        (["provision", "PORT", "--device", "1", "--owner", "a", "--age", "131", *REGISTRY], "age"),
        (["provision", "PORT", *DEVICE, *REGISTRY, "--epoch", "65536"], "epoch"),
        (["provision", "PORT", *DEVICE, "--registry", "missing/devices.json"], "missing"),
        (["provision", "PORT", *DEVICE, "--registry", "broken.py"], "registry"),
        (["provision", "PORT", *DEVICE, *REGISTRY, "--update-key", "broken.py"], "Ed25519"),
        (["update", "PORT", "--key", "broken.py", "--release", "1"], "Ed25519"),
        (["bench", "device", "--port", NOWHERE], NOWHERE),
        (["bench", "nothing"], "nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_is_named(tmp_path: Path, port: str, words: list[str], says: str) -> None:
    (tmp_path / "broken.py").write_text("SENSOR = (\n")
    (tmp_path / "misspelt.py").write_text("LINK = 'ble'\nSENSORS = 'waveform'\n")
    (tmp_path / "beats.rr").write_text("800\n")
    assert says in mistyped(*(port if word == "PORT" else word for word in words), folder=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"broken.py", "misspelt.py", "beats.rr"}


def test_a_crash_of_any_command_leaves_no_memory_on_the_disk(tmp_path: Path) -> None:
    if not dumps_core("os.abort()", tmp_path):
        pytest.skip("this machine writes no core dump of any program")
    command = "from pericard_tools import cli\ncli.pericard.main = lambda prog_name: os.abort()\ncli.main()"
    assert not dumps_core(command, tmp_path)
