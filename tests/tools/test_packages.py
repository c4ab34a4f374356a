"""The other two ways of the firmware onto a board, mip and a frozen image, leave no module behind."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.parts.board import mpremote

from pericard_tools.board.flash import firmware_files
from pericard_tools.board.virtual import VirtualBoard

FIRMWARE = Path(__file__).parents[2] / "firmware"
STARTED_BY_THE_BOARD = {"boot.py", "main.py"}


def files() -> set[str]:
    return {path.lstrip("/") for path in firmware_files()}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    """The firmware's folder over HTTP."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(FIRMWARE))) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def test_the_package_lists_every_module() -> None:
    package = json.loads((FIRMWARE / "package.json").read_text())
    assert {target for target, _ in package["urls"]} == files() - STARTED_BY_THE_BOARD
    assert all(target == source for target, source in package["urls"])


@pytest.mark.slow
def test_what_mip_installs_runs(board: VirtualBoard, address: str) -> None:
    mpremote(board.port, "mip", "install", f"{address}/package.json")
    for path in files() - STARTED_BY_THE_BOARD:
        assert (board.flash / "lib" / path).read_bytes() == (FIRMWARE / path).read_bytes()
    said = mpremote(board.port, "exec", "from pericard_node import app; app.main()")
    assert "needs provisioning: keystore" in said


def test_an_image_has_every_file() -> None:
    """The manifest, run as MicroPython's build runs it: in its own folder, with these three functions."""
    manifest = FIRMWARE / "manifests" / "node.py"
    frozen, included = set[str](), list[str]()

    def package(name: str, base_path: str) -> None:
        root = manifest.parent / base_path
        frozen.update(path.relative_to(root).as_posix() for path in (root / name).rglob("*.py"))

    def module(name: str, base_path: str) -> None:
        assert (manifest.parent / base_path / name).is_file()
        frozen.add(name)

    exec(manifest.read_text(), {"include": included.append, "package": package, "module": module})  # noqa: S102
    assert frozen == files() | {"pericard_node/plain.py"}
    assert included == ["$(PORT_DIR)/boards/manifest.py"]  # the board's own drivers and its file system
