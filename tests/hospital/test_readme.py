"""The configuration in the README is one that the server accepts."""

import re
from pathlib import Path

from pericard_edge.config import parse
from pericard_server.config import ServerConfig

README = Path(__file__).parents[2] / "server" / "hospital" / "README.md"


def test_the_example_is_accepted() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    config = parse(example, ServerConfig, "server.toml")
    assert config.cloud is not None
    assert config.cloud.name == "cloud"
    assert config.records.suite == "aes-256-gcm-siv"
