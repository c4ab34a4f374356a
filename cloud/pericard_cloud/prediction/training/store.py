"""Publishes a model into the portal's folder in one step, and reads it back with everything checked.

`models/NAME` is a link to a folder in `models/.versions`, and publishing exchanges the link: whoever reads at
that moment gets the old model whole, or the new one. Versions of the last hour stay for who reads them still.
"""

import json
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from pericard_cloud.prediction.model import ARRAYS, save
from pericard_cloud.prediction.published import MANIFEST, Published
from pericard_cloud.prediction.training.card import markdown
from pericard_protocol.errors import UsageError

CARD, CARD_TEXT = "card.json", "card.md"
_VERSIONS = ".versions"
_MAX_CARD = 1 << 20
_KEPT_SECONDS = 3600.0


def publish(models: Path, published: Published, card: dict[str, Any]) -> Path:
    """Writes the model's files and makes `models/NAME` show them.

    Returns:
        `models/NAME`.

    Raises:
        UsageError: the folder cannot be written, or NAME is something else there.
    """
    name = published.manifest.name
    shown = models / name
    if shown.exists() and not shown.is_symlink():
        raise UsageError(f"{shown} is no published model: move it away first")
    try:
        versions = models / _VERSIONS
        versions.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Path(
            tempfile.mkdtemp(prefix=f"{name}.", dir=versions)
        )  # for its owner only: arrays are secret
        save(published.model, folder)
        (folder / MANIFEST).write_text(published.manifest.to_json())
        (folder / CARD).write_text(json.dumps(card, indent=2, allow_nan=False, ensure_ascii=False))
        (folder / CARD_TEXT).write_text(markdown(card))
        for file in folder.iterdir():
            _sync(file)
        link = versions / f"{folder.name}.link"
        link.symlink_to(Path(_VERSIONS) / folder.name)
        link.rename(shown)
        _sync(models)
        _forget(versions, name, folder.name)
    except OSError as error:
        raise UsageError(f"the model cannot be written to {models}: {error.strerror}") from None
    return shown


def read(models: Path, name: str) -> tuple[Published, dict[str, Any]]:
    """A published model and its card, both halves checked against each other.

    Raises:
        UsageError, BadManifest: there is none, or its files are not what they should be.
    """
    folder = (models / name).resolve()
    published = Published.read(folder)
    if published.manifest.name != name:
        raise UsageError(f"the folder {name} holds the model {published.manifest.name}: publish it again")
    try:
        if (folder / CARD).stat().st_size > _MAX_CARD:
            raise UsageError(f"the card of {name} has over {_MAX_CARD} bytes")
        card = json.loads((folder / CARD).read_bytes())
    except OSError as error:
        raise UsageError(f"{name} has no card: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"the card of {name} is no JSON") from None
    if not isinstance(card, dict):
        raise UsageError(f"the card of {name} is no JSON object")
    return published, card


def names(models: Path) -> list[str]:
    """Of the models in the folder, in order."""
    return sorted(path.parent.name for path in models.glob(f"[a-z0-9]*/{MANIFEST}"))


def _forget(versions: Path, name: str, shown: str) -> None:
    # mkdtemp puts eight characters behind the name, and a model's name has no dot.
    for folder in versions.iterdir():
        old = time.time() - folder.stat().st_mtime > _KEPT_SECONDS
        if old and folder.name != shown and re.fullmatch(re.escape(name) + r"\.[a-z0-9_]{8}", folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = ["ARRAYS", "CARD", "CARD_TEXT", "MANIFEST", "names", "publish", "read"]
