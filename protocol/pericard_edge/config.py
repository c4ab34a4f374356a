"""Reads a component's TOML configuration: text in, a validated object out, the wrong line named.

It opens no file: the caller passes the text and the name to show in errors.
"""

import re
import tomllib
from typing import TypeVar

import pydantic

from pericard_protocol.errors import UsageError
from pericard_protocol.schema import Section


class ConfigError(UsageError):
    """The configuration cannot be used; the message names the file, line and key."""


S = TypeVar("S", bound=Section)


def parse(text: str, schema: type[S], name: str = "configuration") -> S:
    """Validates `text` against `schema`.

    Raises:
        ConfigError: not TOML, an unknown or missing key, or a wrong value; every fault with its line.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from None
    try:
        return schema.model_validate(table)
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
