"""A real PostgreSQL of a test's own, on a socket in a folder."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def postgresql_running() -> Iterator[str]:
    """Its URL while the block runs; the test is skipped where it cannot be had."""
    if shutil.which("initdb") is None or os.getuid() != 0:
        pytest.skip("skipped: PostgreSQL is not installed, or this is not root, who can run it as postgres")
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    shutil.chown(folder, "postgres")
    data = folder / "data"

    def run(*command: Any) -> None:
        subprocess.run(
            ["runuser", "-u", "postgres", "--", *command], check=True, capture_output=True, cwd=folder
        )

    run("initdb", "-D", str(data), "-A", "trust", "-N")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder}"
    run("pg_ctl", "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder)
