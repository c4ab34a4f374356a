"""The texts that pages show, as their sources have them: for the French files, and the test of those.

`python -m tests.parts.texts` brings the French files up to date and says what is left to translate.
"""

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).parents[2]
ROOMS = {
    "web": ROOT / "web" / "pericard_web",
    "portal": ROOT / "cloud" / "pericard_cloud" / "portal",
}
_PYTHON = {"gettext": None, "_": None, "gettext_lazy": None, "ngettext": (1, 2), "ngettext_lazy": (1, 2)}
# What `templatize` writes in the place of tags.
_TEMPLATE = {"gettext": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2)}

Text = tuple[str, ...]
_HEAD = r"""# French.
msgid ""
msgstr ""
"Language: fr\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\n"
"Content-Type: text/plain; charset=utf-8\n"
"Content-Transfer-Encoding: 8bit\n"

"""


def shown(room: Path) -> set[Text]:
    """Every text marked for translation: (singular,) or (singular, plural)."""
    found: set[Text] = set()
    for path in sorted(room.rglob("*.py")):
        found |= _extracted(path.read_bytes(), _PYTHON)
    for path in sorted(room.rglob("*.html")):
        found |= _extracted(templatize(path.read_text(), origin=path.name).encode(), _TEMPLATE)
    return found


def _extracted(source: bytes, keywords: Mapping[str, Any]) -> set[Text]:
    texts = extract("python", BytesIO(source), keywords=keywords)
    return {(text,) if isinstance(text, str) else tuple(text) for _, text, _, _ in texts}


def translated(room: Path) -> Catalog:
    with (room / "locale" / "fr" / "LC_MESSAGES" / "django.po").open("rb") as file:
        return read_po(file, locale="fr")


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)[sd]|%[sd]|</?\w+>", text))


def update(room: Path) -> list[Text]:
    """Rewrites a room's French file: texts that went leave it, new ones come without a translation."""
    known = {one.id if isinstance(one.id, tuple) else (one.id,): one.string for one in translated(room)}
    catalog, missing = Catalog(locale="fr", fuzzy=False), []
    for text in sorted(shown(room)):
        catalog.add(text if len(text) > 1 else text[0], known.get(text, ""))
        missing += [] if known.get(text) else [text]
    with (room / "locale" / "fr" / "LC_MESSAGES" / "django.po").open("wb") as file:
        file.write(_HEAD.encode())
        body = BytesIO()
        write_po(body, catalog, width=110)
        file.write(body.getvalue().partition(b"\n\n")[2])
    return missing


if __name__ == "__main__":
    for one in ROOMS.values():
        for text in update(one):
            print("to translate:", *text)
