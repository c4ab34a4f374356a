"""mpremote, as it comes, cannot tell a virtual board from a board."""

import os
from pathlib import Path

import pytest
import serial
from tests.parts.board import mpremote

from pericard_tools.board.virtual import VirtualBoard
from pericard_tools.errors import BadArgument


def test_files_are_copied_listed_and_removed(board: VirtualBoard, tmp_path: Path) -> None:
    source = tmp_path / "notes.bin"
    source.write_bytes(bytes(range(256)) * 5)
    mpremote(board.port, "fs", "cp", str(source), ":/notes.bin")
    assert (board.flash / "notes.bin").read_bytes() == source.read_bytes()
    assert "1280 notes.bin" in mpremote(board.port, "fs", "ls")
    mpremote(board.port, "fs", "cp", ":notes.bin", str(tmp_path / "back.bin"))
    assert (tmp_path / "back.bin").read_bytes() == source.read_bytes()
    mpremote(board.port, "fs", "rm", ":notes.bin")
    assert not (board.flash / "notes.bin").exists()


def test_the_board_sees_nothing_of_the_host(board: VirtualBoard) -> None:
    said = mpremote(board.port, "exec", "import os; print(os.listdir(), os.listdir('/../..'), os.getcwd())")
    assert said == "[] [] /\n"


def test_a_program_is_run_and_a_folder_mounted(board: VirtualBoard, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint(sys.implementation.name, 6 * 7)\n")
    assert mpremote(board.port, "run", str(program)) == "micropython 42\n"
    said = mpremote(board.port, "mount", str(tmp_path), "exec", "import program")
    assert said.endswith("micropython 42\n")


def test_a_soft_reset_forgets_and_runs_boot_but_not_main(board: VirtualBoard) -> None:
    mpremote(board.port, "exec", "pass")  # the start is over, which would run main.py
    (board.flash / "boot.py").write_text("open('/boot-ran', 'w').close()\n")
    (board.flash / "main.py").write_text("open('/main-ran', 'w').close()\n")
    said = mpremote(board.port, "exec", "x = 1", "soft-reset", "exec", "print('x' in globals())")
    assert said.endswith("False\n")
    assert (board.flash / "boot-ran").exists()
    assert not (board.flash / "main-ran").exists()


@pytest.mark.parametrize("way", ["command", "button"])
def test_a_hard_reset_runs_main_and_keeps_the_port(board: VirtualBoard, way: str) -> None:
    # It goes on saying so: what it said before we listen again, behind mpremote, is lost.
    (board.flash / "main.py").write_text(
        "import time\nwhile True:\n    print('main', 'ran')\n    time.sleep(0.1)\n"
    )
    if way == "command":
        mpremote(board.port, "reset")
    with serial.Serial(board.port, timeout=60) as link:
        if way == "button":
            board.reset()
        assert link.read_until(b"main ran\n").endswith(b"main ran\n")


def test_a_program_that_floods_an_unread_port_can_be_stopped(board: VirtualBoard) -> None:
    (board.flash / "main.py").write_text("while True: print('x' * 1000)\n")
    with serial.Serial(board.port, timeout=60) as link:
        board.reset()
        link.read_until(b"x" * 1000)
    assert mpremote(board.port, "exec", "print('stopped')") == "stopped\n"


def test_a_board_whose_radio_nobody_hears_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import bluetooth\nradio = bluetooth.BLE()\nwhile True:\n    radio.config(mtu=23)\n    print('.')\n"
    )
    with VirtualBoard(tmp_path, radio=True) as board, serial.Serial(board.port, timeout=1) as link:
        while link.read(4096):
            pass  # until it is stuck in the radio's full buffer
        board.kill()
        assert board.off.wait(60)


def test_without_power_nothing_answers_until_it_comes_back(board: VirtualBoard) -> None:
    (board.flash / "main.py").write_text("print('main', 'ran')\n")
    with serial.Serial(board.port, timeout=60) as link:
        board.kill()
        board.power_on()
        assert link.read_until(b"main ran\n").endswith(b"main ran\n")


def test_a_stopped_board_leaves_no_process_and_no_open_file(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with VirtualBoard(tmp_path) as board:
        mpremote(board.port, "exec", "pass")
        vm = board._vm
    assert vm is not None
    assert vm.returncode is not None
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_flash_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="make one"):
        VirtualBoard(tmp_path / "missing")
