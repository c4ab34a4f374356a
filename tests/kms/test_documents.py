"""docs/kms.md says what is: every command, option, path and test that it names exists."""

import re
import shlex
from pathlib import Path

import click

from pericard_kms.cli import kms
from pericard_kms.crypto.primitives import TYPES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/kms.md").read_text()


def test_every_command_and_option_exists():
    lines = re.findall(r"^(pericard kms [^#>\n]*)", TEXT, re.MULTILINE)
    lines += re.findall(r"`(pericard kms device state [^`]*)`", TEXT)
    assert len(lines) > 8
    for line in lines:
        command, words = kms, shlex.split(line)[2:]
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_every_file_that_is_named_exists():
    for name in re.findall(r"`((?:tests|server)/[\w/]+\.py)`", TEXT):
        assert (ROOT / name).is_file(), name


def test_every_key_type_that_is_named_exists():
    assert {"aes256-gcm-siv", "ml-dsa-65", "ml-kem-768"} <= TYPES.keys()
    assert "xchacha20-poly1305" not in TYPES
