"""Build hook: compiles the translations of the distribution that is built: .po into what gettext reads, .mo.

The compiled files are never committed; an editable install makes them too. The cloud's build runs this too.
"""

from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileMessages(BuildHookInterface):  # type: ignore[type-arg]
    """Writes a .mo beside each .po."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles every translation below the distribution's folder; one that is fuzzy is left out."""
        sources = sorted(Path(self.root).glob("pericard_*/**/locale/*/LC_MESSAGES/*.po"))
        if not sources:
            raise RuntimeError(f"there is no translation below {self.root}")
        for source in sources:
            with source.open("rb") as file:
                catalog = read_po(file, abort_invalid=True)
            with source.with_suffix(".mo").open("wb") as file:
                write_mo(file, catalog)
