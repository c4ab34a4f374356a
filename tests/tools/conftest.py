"""A board for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.parts.board import DEVICE, INTERVALS, ReadyBoard

from pericard_tools.board.flash import firmware_files, flash
from pericard_tools.board.provision import RegistrySource, provision
from pericard_tools.board.recording import FLASH_PATH, recording_file
from pericard_tools.board.virtual import VirtualBoard


@pytest.fixture
def board(tmp_path: Path) -> Iterator[VirtualBoard]:
    """An empty board."""
    directory = tmp_path / "board"
    directory.mkdir()
    with VirtualBoard(directory) as running:
        yield running


@pytest.fixture
def ready(board: VirtualBoard, tmp_path: Path) -> ReadyBoard:
    """A board with firmware, key and a fast recording."""
    registry = tmp_path / "devices.json"
    flash(board.port, firmware_files() | {FLASH_PATH: recording_file(INTERVALS, speed=50)})
    provision(board.port, DEVICE, "bed 4", 61, RegistrySource(registry))
    return ReadyBoard(board, registry)
