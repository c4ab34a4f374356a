"""The zip for a portal's users: two wheels, what they need, and a README whose commands are there."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import pytest
from tests.parts.documents import ROOT, text_of

from pericard_client.cli import client

PACK = ROOT / "tools/client-kit"


def _packed(folder: Path, name: str) -> Path:
    target = folder / "out" / name
    subprocess.run([sys.executable, PACK, folder, target], check=True, timeout=60)
    return target


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    for name in ("pericard_protocol-0.1.0-py3-none-any.whl", "pericard_client-0.1.0-py3-none-any.whl"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "pericard_cloud-0.1.0-py3-none-any.whl").write_bytes(b"not for users")
    return tmp_path


def test_the_kit_holds_what_a_user_needs_and_no_more(wheels: Path) -> None:
    with zipfile.ZipFile(_packed(wheels, "kit.zip")) as kit:
        assert [name.partition("/")[2] for name in kit.namelist()] == [
            "README.md",
            "pericard_client-0.1.0-py3-none-any.whl",
            "pericard_protocol-0.1.0-py3-none-any.whl",
            "requirements.txt",
        ]
        assert kit.read("pericard-client-kit/requirements.txt").count(b"--hash=sha256:") > 20


def test_the_same_contents_are_the_same_zip(wheels: Path) -> None:
    first = _packed(wheels, "a.zip").read_bytes()
    for wheel in wheels.glob("*.whl"):
        wheel.touch()
    assert _packed(wheels, "b.zip").read_bytes() == first


def test_every_command_of_its_readme_is_one() -> None:
    shown = re.findall(r"pericard-client ([^`]+)`", text_of("client/KIT.md"))
    assert len(shown) >= 5
    for line in shown:
        command: click.Command = client
        for word in line.split():
            if isinstance(command, click.Group):
                found = command.get_command(click.Context(command), word)
                assert found is not None, line
                command = found
            elif word.startswith("-"):
                assert word in {option for parameter in command.params for option in parameter.opts}, line
