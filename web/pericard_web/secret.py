"""The key with which Django signs sessions and forms: made once, kept in a file that only its owner reads."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from pericard_edge import files


def secret_key(path: Path) -> str:
    """The key in the file at `path`, made if there is none yet.

    Raises:
        FileError: others may read the file.
    """
    if not path.exists():
        # Whole before it has its name: who else starts at this moment reads all of it, or makes none.
        beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        files.write(beside, secrets.token_urlsafe(64).encode())
        with suppress(FileExistsError):
            os.link(beside, path)
        beside.unlink()
    return files.read_secret(path, "the site's secret").decode()
