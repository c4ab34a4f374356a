"""A configuration error names the file, the line and the key."""

from pathlib import Path

import pydantic
import pytest

from pericard_edge.config import ConfigError, ConfiguredPath, load_settings, parse_settings
from pericard_edge.settings import MetricsSettings, split_address
from pericard_protocol.schema import Section


class _Port(Section):
    path: str
    speed: int = 115200


class _Link(Section):
    address: str


class _Settings(Section):
    link: _Link
    ports: list[_Port] = pydantic.Field(default_factory=list)


GOOD = '[link]\naddress = "localhost:1"\n\n[[ports]]\npath = "/dev/ttyUSB0"\n'


def test_a_right_configuration_is_read() -> None:
    settings = parse_settings(GOOD, _Settings)
    assert settings.link.address == "localhost:1"
    assert settings.ports[0].speed == 115200


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (GOOD + "speed = 'fast'\n", 6, "ports.0.speed"),
        (GOOD + "[[ports]]\npath = 3\n", 7, "ports.1.path"),
        (GOOD.replace("address", "adress"), 2, "link.adress"),
        ("ports = []\n", 1, "link"),
    ],
)
def test_a_wrong_one_names_line_and_key(text: str, line: int, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, _Settings, "gateway.toml")
    assert f"gateway.toml, line {line}: {key}:" in str(caught.value)


def test_a_syntax_error_names_its_line() -> None:
    with pytest.raises(ConfigError, match="line 2"):
        parse_settings("a = 1\nb =\n", _Settings)


def test_values_are_not_repeated_in_errors() -> None:
    """A secret typed into the wrong place does not reach the log."""
    with pytest.raises(ConfigError) as caught:
        parse_settings('[link]\naddress = "x"\ntoken = "s3cr3t"\n', _Settings)
    assert "s3cr3t" not in str(caught.value)


class _Files(Section):
    key: ConfiguredPath
    other: ConfiguredPath | None = None


def test_a_relative_path_begins_at_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "x.toml"
    file.write_text('key = "keys/tls.key"\nother = "/run/other.key"\n')
    monkeypatch.chdir(tmp_path)
    for way in (file, Path("etc/x.toml")):
        found = load_settings(way, _Files)
        assert (found.key, found.other) == (tmp_path / "etc/keys/tls.key", Path("/run/other.key"))


@pytest.mark.parametrize("value", ["3", '""', "[]"])
def test_a_path_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="line 1: key"):
        parse_settings(f"key = {value}\n", _Files)


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "ward.example:1", "127.0.0.1", "127.0.0.1:", "[::]:1", ":1"])
def test_the_pages_are_for_this_machine_alone(listen: str) -> None:
    with pytest.raises(ConfigError, match="listen"):
        parse_settings(f'listen = "{listen}"\n', MetricsSettings)


def test_an_address_is_host_and_port() -> None:
    assert split_address("[::1]:80") == ("::1", 80)
    assert split_address("ward.example:8443") == ("ward.example", 8443)
