"""What the documents tell a reader to type is there: each command, and each of its options."""

import re
import shlex
from pathlib import Path

import click
import pytest

from pericard_tools.board.flash import check_config
from pericard_tools.cli import pericard

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "hardware.md", "firmware/README.md", "tools/README.md"]


def examples(text: str) -> list[list[str]]:
    """The words of each `pericard …` in a block of code or between backquotes, comments left out."""
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    quoted = re.findall(r"`(pericard [^`]*)`", text)
    lines = [line for block in blocks for line in block.splitlines()] + quoted
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [
        shlex.split(part, comments=True)[1:] for part in parts if re.match(r"pericard [a-z]+(\s|$)", part)
    ]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_example_is_a_command_with_these_options(document: str) -> None:
    found = examples((ROOT / document).read_text())
    assert found
    for words in found:
        command: click.Command = pericard
        for word in words:
            if not isinstance(command, click.Group) or word == "…":
                break
            next_one = command.get_command(click.Context(command), word)
            assert next_one is not None, words
            command = next_one
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, words


def test_the_example_configuration_has_every_setting_with_its_default() -> None:
    settings: dict[str, object] = {}
    exec((ROOT / "firmware/pericard_node/settings.py").read_text(), settings)  # noqa: S102
    example: dict[str, object] = {}
    exec(check_config(ROOT / "firmware/config_example.py"), example)  # noqa: S102
    assert {name: value for name, value in example.items() if name.isupper()} == {
        name: value for name, value in settings.items() if name.isupper()
    }
