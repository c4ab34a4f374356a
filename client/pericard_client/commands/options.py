"""What several commands share: the folder, the passphrase, the token, how answers are printed."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import platformdirs

from pericard_client.portal import Portal, plain
from pericard_edge import files
from pericard_protocol.errors import UsageError
from pericard_protocol.prediction.geometry import Answer
from pericard_protocol.prediction.manifest import Manifest

PASSPHRASE, TOKEN, HOME = "PERICARD_PASSPHRASE", "PERICARD_TOKEN", "PERICARD_CLIENT_HOME"
_F = TypeVar("_F", bound=Callable[..., Any])
_A_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

in_file = _A_FILE
out_file = click.Path(dir_okay=False, path_type=Path)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
ignore = click.option(
    "--ignore", multiple=True, metavar="COLUMN", help="A column to leave out; may come again."
)
any_value = click.option(
    "--any-value", is_flag=True, help="Take values far outside of the training data, too."
)
_passphrase_file = click.option(
    "--passphrase-file",
    type=_A_FILE,
    help=f"Holds the passphrase (else ${PASSPHRASE}, else it is asked for).",
)
_home = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: os.environ.get(HOME) or platformdirs.user_data_path("pericard-client"),
    show_default=f"${HOME}, or the user's data folder",
    help="The folder of the keys.",
)


def home(command: _F) -> _F:
    """The option --home."""
    return _home(command)


def passphrase_file(command: _F) -> _F:
    """The option --passphrase-file."""
    return _passphrase_file(command)


def portal_options(command: _F) -> _F:
    """Options of commands that call the portal."""
    command = click.option(
        "--ca", type=_A_FILE, help="Certificates to trust in place of the system's (PEM)."
    )(command)
    return click.option("--token-file", type=_A_FILE, help=f"Holds your personal token (else ${TOKEN}).")(
        command
    )


def portal(url: str, token_file: Path | None, ca: Path | None) -> Portal:
    """The portal, with the user's token where there is one."""
    return Portal(url, token(token_file), ca)


def token(token_file: Path | None) -> str:
    """The user's token; empty where there is none."""
    if token_file is not None:
        return files.read_secret(token_file, "token").decode("ascii", "replace").strip()
    return os.environ.get(TOKEN, "")


def passphrase(given: Path | None, *, new: bool = False, what: str = "Passphrase") -> str:
    """The passphrase: from a file, the environment, or the terminal (twice where it is a new one).

    Raises:
        UsageError: it is not given and nobody can be asked.
    """
    if given is not None:
        return files.read_secret(given, "passphrase").decode("utf-8", "replace").rstrip("\r\n")
    if PASSPHRASE in os.environ:
        return os.environ[PASSPHRASE]
    if not sys.stdin.isatty():
        raise UsageError(f"no passphrase: name a file with --passphrase-file, or set {PASSPHRASE}")
    asked: str = click.prompt(what, hide_input=True, confirmation_prompt=new, err=True)
    return asked


def manifest(path: Path) -> Manifest:
    """The manifest in a file: alone, or as the portal's answer has it."""
    content = files.read(path, "manifest")
    try:
        read = json.loads(content)
    except (ValueError, RecursionError):
        return Manifest.from_json(content)
    inner = read.get("manifest") if isinstance(read, dict) else None
    return Manifest.from_json(content if inner is None else json.dumps(inner))


def write_new(path: Path, content: bytes) -> None:
    """Writes a file (mode 0600) in one step."""
    try:
        files.write(path, content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def show(answers: Sequence[Answer], model: Manifest, *, as_json: bool) -> None:
    """Prints answers to stdout: a line a row, or JSON."""
    if as_json:
        rows = [
            {
                "label": one.label,
                "probabilities": list(one.probabilities),
                "value": one.value,
                "margins": list(one.margins),
            }
            for one in answers
        ]
        click.echo(json.dumps({"model": model.name, "classes": list(model.classes), "rows": rows}))
        return
    if model.task == "regression":
        table([["row", "value"], *([str(at), f"{one.value:.6g}"] for at, one in enumerate(answers, 1))])
        return
    head = ["row", "answer", *model.classes]
    shown = [
        [str(at), str(one.label), *(f"{number:.3f}" for number in one.probabilities or one.margins)]
        for at, one in enumerate(answers, 1)
    ]
    table([head, *shown])


def table(rows: Sequence[Sequence[str]]) -> None:
    """Prints cells in columns; what came from a stranger is made plain."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
