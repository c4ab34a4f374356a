"""flash and provision make a board that sends frames which only its registry's key opens."""

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from tests.parts.board import DEVICE, ReadyBoard, mpremote, opened, read_frames
from tests.parts.documents import ROOT

from pericard_protocol.device.frame import NotAuthentic, open_frame
from pericard_protocol.device.vitals import parse_vitals
from pericard_tools.board.flash import check_config, firmware_files, flash, precompiled
from pericard_tools.board.provision import RegistrySource, provision
from pericard_tools.board.virtual import VirtualBoard
from pericard_tools.errors import BadArgument, BoardError


def test_frames_hold_the_recording(ready: ReadyBoard) -> None:
    frames = opened(ready, read_frames(ready.board.port, 5, reset=ready.board))
    assert [header.device for header, _ in frames] == [DEVICE] * 5
    assert [header.seq for header, _ in frames] == [0, 1, 2, 3, 4]
    # 60000 / interval; the interval of 4 s is no heart's and gives no reading, but its time passes.
    assert [vitals["heart_rate_bpm"] for _, vitals in frames] == [60, 100, 120, 80, 60]
    times = [vitals["timestamp"] for _, vitals in frames]
    assert [time - times[0] for time in times] == [0, 0, 1, 5, 6]
    for frame in read_frames(ready.board.port, 3):
        assert parse_vitals(open_frame(ready.cipher(), frame))[0] == 61
        with pytest.raises(NotAuthentic):
            open_frame(ChaCha20Poly1305(bytes(32)), frame)


@pytest.mark.slow
def test_every_start_has_its_own_boot_number(ready: ReadyBoard) -> None:
    boots = [read_frames(ready.board.port, 1, reset=ready.board)[0].header.boot for _ in range(3)]
    assert boots == [boots[0], boots[0] + 1, boots[0] + 2]


@pytest.mark.slow
def test_flashing_again_writes_only_what_changed(board: VirtualBoard) -> None:
    files = firmware_files()
    assert flash(board.port, files) == len(files)
    assert flash(board.port, files) == 0
    (board.flash / "main.py").write_text("broken")
    assert flash(board.port, files) == 1
    for path, content in files.items():
        assert (board.flash / path.lstrip("/")).read_bytes() == content


def test_progress_counts_every_byte(board: VirtualBoard) -> None:
    done: list[int] = []
    flash(board.port, {"/a/b.txt": b"x" * 1300, "/c.txt": b""}, done.append)
    assert sum(done) == 1300


@pytest.mark.slow
def test_an_unprovisioned_board_says_so_and_sends_no_frame(board: VirtualBoard) -> None:
    flash(board.port, firmware_files() | {"/recording.json": b'{"speed": 1, "rr_ms": [1000]}'})
    assert "needs provisioning: keystore" in mpremote(
        board.port, "exec", "from pericard_node import app; app.main()"
    )


def test_the_registry_is_private_and_keeps_other_devices(board: VirtualBoard, tmp_path: Path) -> None:
    registry = tmp_path / "devices.json"
    for device in (1, 2, 1):
        provision(board.port, device, f"owner {device}", 40, RegistrySource(registry, 3))
    assert stat.S_IMODE(registry.stat().st_mode) == 0o600
    devices = json.loads(registry.read_bytes())["devices"]
    assert [entry["device"] for entry in devices] == [2, 1]
    assert len({entry["key"] for entry in devices}) == 2
    for entry in devices:
        assert set(entry) == {"device", "epoch", "key", "owner"}
        assert entry["epoch"] == 3
        assert len(bytes.fromhex(entry["key"])) == 32
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_bad_registry_is_refused_before_the_board_is_touched(board: VirtualBoard, tmp_path: Path) -> None:
    registry = tmp_path / "devices.json"
    registry.write_text("[]")
    with pytest.raises(BadArgument, match="registry"):
        provision(board.port, 1, "owner", 40, RegistrySource(registry))
    assert list(board.flash.iterdir()) == []


@pytest.mark.parametrize(
    ("device", "owner", "age"), [(0, "o", 1), (2**32, "o", 1), (1, "", 1), (1, "o", -1), (1, "o", 131)]
)
def test_impossible_arguments_are_refused(tmp_path: Path, device: int, owner: str, age: int) -> None:
    with pytest.raises(BadArgument):
        provision("/dev/null", device, owner, age, RegistrySource(tmp_path / "devices.json"))


def test_a_fault_on_the_board_never_shows_the_key(board: VirtualBoard, tmp_path: Path) -> None:
    (board.flash / "keystore.bin.new").mkdir()
    with pytest.raises(BoardError) as caught:
        provision(board.port, 1, "owner", 40, RegistrySource(tmp_path / "devices.json"))
    assert "OSError" in str(caught.value)
    assert "key" not in str(caught.value).replace("keystore", "")


def test_a_port_that_is_not_there_is_named() -> None:
    with pytest.raises(BadArgument, match="/dev/nothing"):
        flash("/dev/nothing", {})


@pytest.mark.parametrize("architecture", ["xtensawin", "rv32imc"])
def test_every_module_compiles_for_the_chips(architecture: str) -> None:
    """ESP32 and S3, and C3 and C6: native code for viper functions, in MicroPython's format 6."""
    compiled = precompiled(firmware_files(), architecture)
    modules = {path: content for path, content in compiled.items() if path.endswith(".mpy")}
    assert len(modules) == len(compiled) - 2  # boot.py and main.py
    assert all(content[:2] == b"M\x06" for content in modules.values())


def test_a_module_that_is_no_python_is_named() -> None:
    with pytest.raises(BadArgument, match=r"/a/b\.py does not compile for xtensawin: SyntaxError"):
        precompiled({"/a/b.py": b"def ("}, "xtensawin")


@pytest.mark.slow
def test_precompiled_modules_run(ready: ReadyBoard) -> None:
    """After them nothing of the modules' source is left, which the board would prefer."""
    flash(ready.board.port, firmware_files(), compiled=True)
    suffixes = {path.suffix for path in (ready.board.flash / "pericard_node").iterdir()}
    assert suffixes == {".mpy"}
    assert len(opened(ready, read_frames(ready.board.port, 2, reset=ready.board))) == 2
    flash(ready.board.port, firmware_files())
    suffixes = {path.suffix for path in (ready.board.flash / "pericard_node").iterdir()}
    assert suffixes == {".py"}


def test_the_example_configuration_has_every_setting_with_its_default() -> None:
    settings: dict[str, object] = {}
    exec((ROOT / "firmware/pericard_node/settings.py").read_text(), settings)  # noqa: S102
    example: dict[str, object] = {}
    exec(check_config(ROOT / "firmware/config_example.py"), example)  # noqa: S102
    assert {name: value for name, value in example.items() if name.isupper()} == {
        name: value for name, value in settings.items() if name.isupper()
    }
