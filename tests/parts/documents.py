"""Reads the project's documents: what they show in blocks, between backquotes and in tables."""

import re
import shlex
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NOT_OURS = re.compile(r"\.|node_modules").match


def documents() -> list[Path]:
    """Every Markdown file of the project, relative to its root."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(path for path in found if not any(_NOT_OURS(part) for part in path.parts))


def text_of(document: str | Path) -> str:
    """The text of a document, by its path from the root."""
    return (ROOT / document).read_text()


def blocks(text: str, language: str = "") -> list[str]:
    """The fenced blocks of that language; "" for those that name none."""
    # Every fence is read, whatever its language: the end of one block is not the start of the next.
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [body for name, body in found if name == language]


def spans(text: str) -> list[str]:
    """What stands between single backquotes, outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one; "" where there is no such heading."""
    _, _, rest = text.partition(f"\n{heading}\n")
    return rest.split("\n#", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables in `text`, without the rows that head them."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    rules = {index for index, row in enumerate(cells) if all(set(cell) <= set("-: ") for cell in row)}
    return [row for index, row in enumerate(cells) if index not in rules and index + 1 not in rules]


def commands(text: str) -> list[list[str]]:
    """The words of each `pericard …` that a reader is shown, without `pericard` and without comments."""
    quoted = [span for span in spans(text) if span.startswith("pericard ")]
    lines = [line for block in blocks(text) + blocks(text, "sh") for line in block.splitlines()] + quoted
    parts = [part.strip() for line in lines for part in line.split("&&")]
    shown = [part for part in parts if re.match(r"pericard [a-z]+(\s|$)", part)]
    words = [shlex.split(part, comments=True)[1:] for part in shown]
    return [list(chosen) for line in words for chosen in product(*map(_alternatives, line))]


def _alternatives(word: str) -> list[str]:
    return word.split("|") if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", word) else [word]
