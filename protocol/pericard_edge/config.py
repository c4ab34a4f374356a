"""Reads a process's TOML configuration: a file in, a validated object out, every fault with its line."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

import pydantic

from pericard_edge import files
from pericard_protocol.errors import UsageError
from pericard_protocol.schema import Section


class ConfigError(UsageError):
    """The configuration cannot be used; the message names the file, line and key."""


S = TypeVar("S", bound=Section)
_FOLDER = "folder"  # in pydantic's validation context


def _from_the_folder(value: object, validated: pydantic.ValidationInfo) -> object:
    if isinstance(value, Path) or (isinstance(value, str) and value):
        return (validated.context or {}).get(_FOLDER, Path()) / value
    return value


#: A path in a configuration: a relative one begins at the folder of the file that names it.
ConfiguredPath = Annotated[Path, pydantic.BeforeValidator(_from_the_folder)]


def load_settings(path: Path, schema: type[S]) -> S:
    """The configuration in the file at `path`.

    Raises:
        FileError: it cannot be read.
        ConfigError: as `parse_settings`.
    """
    text = files.read(path, "configuration").decode(errors="replace")
    return parse_settings(text, schema, str(path), path.absolute().parent)


def parse_settings(text: str, schema: type[S], name: str = "configuration", folder: Path | None = None) -> S:
    """Validates `text` against `schema`; `name` stands in errors, `folder` before each `ConfiguredPath`.

    Raises:
        ConfigError: not TOML, an unknown or missing key, or a wrong value; every fault with its line.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from None
    try:
        return schema.model_validate(table, context={_FOLDER: folder or Path()})
    except pydantic.ValidationError as error:
        faults = [
            f"{name}, line {_line(text, fault['loc'])}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigError("\n".join(faults)) from None


def _line(text: str, path: tuple[int | str, ...]) -> int:
    """The line of the deepest part of `path` that stands in `text`; 1 when none of it does."""
    found = 1
    table: tuple[str, ...] = ()
    seen_tables: dict[tuple[str, ...], int] = {}
    wanted = [str(part) for part in path]
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[(\[?)([^\]]+)\]", line):
            names = tuple(part.strip().strip("\"'") for part in header[2].split("."))
            if header[1]:  # an array of tables: its entries are numbered in the order that they appear
                seen_tables[names] = seen_tables.get(names, -1) + 1
                names = (*names, str(seen_tables[names]))
            table = names
            if list(names) == wanted[: len(names)]:
                found = number
        elif (key := re.match(r"\s*([\w\"'.-]+)\s*=", line)) and list(table) == wanted[: len(table)]:
            names = (*table, *(part.strip("\"'") for part in key[1].split(".")))
            if list(names) == wanted[: len(names)]:
                found = number
    return found
