"""A configuration error names the file, the line and the key."""

import pydantic
import pytest

from pericard_edge.config import ConfigError, parse
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
    settings = parse(GOOD, _Settings)
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
        parse(text, _Settings, "gateway.toml")
    assert f"gateway.toml, line {line}: {key}:" in str(caught.value)


def test_a_syntax_error_names_its_line() -> None:
    with pytest.raises(ConfigError, match="line 2"):
        parse("a = 1\nb =\n", _Settings)


def test_values_are_not_repeated_in_errors() -> None:
    """A secret typed into the wrong place does not reach the log."""
    with pytest.raises(ConfigError) as caught:
        parse('[link]\naddress = "x"\ntoken = "s3cr3t"\n', _Settings)
    assert "s3cr3t" not in str(caught.value)
