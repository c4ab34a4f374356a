"""The models that the portal offers: what the folder of models holds at this moment.

Only the public half is read here (`model.json`, the manifest, and `card.json`); leaves and weights are read
by the workers that compute.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from pericard_cloud.portal.errors import NotYours
from pericard_edge.jsonlog import fields
from pericard_protocol.errors import PericardError
from pericard_protocol.prediction.manifest import Manifest

_log = logging.getLogger("pericard.portal")
MANIFEST, CARD = "model.json", "card.json"


@dataclass(frozen=True)
class Entry:
    """One model: its public description, its card, and the folder that workers load."""

    manifest: Manifest
    card: dict[str, Any]
    folder: Path

    @property
    def name(self) -> str:
        """What it is called in addresses and queries."""
        return self.manifest.name

    @property
    def title(self) -> str:
        """What people call it."""
        return str(self.card.get("title") or self.name)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What the card says besides, as rows."""
        return list(
            _rows({key: value for key, value in self.card.items() if key not in ("title", "summary")})
        )

    @cached_property
    def manifest_json(self) -> dict[str, Any]:
        """The manifest as its JSON object."""
        return dict(json.loads(self.manifest.to_json()))


class Catalogue:
    """Reads a folder of models; a model whose files did not change is not read again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[tuple[int, ...], Entry | None]] = {}

    def entries(self) -> list[Entry]:
        """Every model that can be used, by name."""
        if not self._folder.is_dir():
            return []
        names = sorted(path.parent.name for path in self._folder.glob(f"*/{MANIFEST}"))
        return [entry for name in names if (entry := self._entry(name)) is not None]

    def find(self, name: str) -> Entry:
        """The model of this name.

        Raises:
            NotYours: there is none.
        """
        for entry in self.entries():
            if entry.name == name:
                return entry
        raise NotYours(_("There is no such model."))

    def _entry(self, name: str) -> Entry | None:
        folder = self._folder / name
        try:
            stamp = tuple(
                number
                for file in (MANIFEST, CARD)
                if (folder / file).exists()
                for number in ((folder / file).stat().st_mtime_ns, (folder / file).stat().st_size)
            )
            if self._read.get(name, ((), None))[0] != stamp:
                self._read[name] = (stamp, _load(folder))
        except OSError:  # it was taken away a moment ago
            return None
        return self._read[name][1]


def _rows(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        label = f"{above} · {key}" if above else key
        label = label.replace("_", " ")
        if isinstance(value, dict):
            yield from _rows(value, label)
        elif isinstance(value, list):
            yield label, ", ".join(map(str, value))
        elif value is not None:
            yield label, f"{value:.4g}" if isinstance(value, float) else str(value)


def _load(folder: Path) -> Entry | None:
    try:
        manifest = Manifest.from_json((folder / MANIFEST).read_text())
        card = json.loads((folder / CARD).read_text()) if (folder / CARD).exists() else {}
        if manifest.name != folder.name or not isinstance(card, dict):
            raise ValueError("it is not the model that its folder names")
    except (OSError, ValueError, PericardError) as error:
        _log.error("a model cannot be offered", extra=fields(model=folder.name, why=str(error)))
        return None
    return Entry(manifest, card, folder)
