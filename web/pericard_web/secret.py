"""The key with which Django signs sessions and forms: made once, kept in a file that only its owner reads."""

import os
import secrets
from pathlib import Path

from pericard_edge import files


def secret_key(path: Path) -> str:
    """The key in the file at `path`, made if there is none yet.

    Raises:
        FileError: others may read the file.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return files.read_secret(path, "the site's secret").decode()
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(64))
        file.flush()
        os.fsync(file.fileno())
    return files.read_secret(path, "the site's secret").decode()
