"""The cloud's commands and configuration: what is wrong is named before anything is served."""

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.parts.certificates import CertificateAuthority

from pericard_cloud.cli import cloud
from pericard_cloud.config import CloudSettings, LimitSettings
from pericard_edge import files
from pericard_edge.config import load_settings, parse_settings
from pericard_edge.files import FileError
from pericard_protocol.errors import UsageError

README = Path(__file__).parents[2] / "cloud" / "README.md"


def _example() -> str:
    (block,) = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    return str(block)


@pytest.fixture
def config(tmp_path: Path, authority: CertificateAuthority) -> Path:
    identity = authority.issue("cloud.example")
    (tmp_path / "cloud.pem").write_bytes(identity.certificate)
    files.write(tmp_path / "cloud.key", identity.private_key)
    files.write(tmp_path / "junk.key", b"junk")
    (tmp_path / "ca.pem").write_bytes(identity.authorities)
    (tmp_path / "ca.pem").chmod(0o644)  # whatever the umask is: one test takes this file for a private key
    (tmp_path / "cloud.toml").write_text(_example())
    return tmp_path / "cloud.toml"


def test_the_readmes_example_is_complete_and_shows_the_defaults(config: Path) -> None:
    settings = load_settings(config, CloudSettings)
    assert settings.limits == LimitSettings()
    shown = parse_settings(_example(), CloudSettings).model_dump(exclude_unset=True)
    assert set(shown["limits"]) == set(LimitSettings.model_fields)
    assert set(shown) == set(CloudSettings.model_fields)


def test_check_validates_and_serves_nothing(config: Path) -> None:
    done = CliRunner().invoke(cloud, ["run", "--config", str(config), "--check"])
    assert (done.exit_code, done.stderr) == (0, f"{config}: good\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("workers = 2", "workers = 0", "line 13: limits.workers"),
        ("workers = 2", "worker = 2", "line 13: limits.worker"),
        ('"127.0.0.1:8444"', '"8444"', "line 2: listen.address"),
        ('["hospital.example"]', "[]", "line 10: clients.allowed"),
        ('key = "cloud.key"', "", "tls.key"),
        ('key = "cloud.key"', 'key = "other.key"', "other.key cannot be read"),
        ('key = "cloud.key"', 'key = "ca.pem"', "ca.pem can be read by others: chmod 600"),
        ('key = "cloud.key"', 'key = "junk.key"', "private key is not"),
    ],
)
def test_a_wrong_configuration_is_named(config: Path, old: str, new: str, message: str) -> None:
    config.write_text(_example().replace(old, new))
    with pytest.raises(UsageError, match=re.escape(message)):
        load_settings(config, CloudSettings).tls.identity()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.toml cannot be read"):
        load_settings(tmp_path / "none.toml", CloudSettings)


def test_help_names_every_option() -> None:
    shown = CliRunner().invoke(cloud, ["run", "--help"]).output
    assert all(option in shown for option in ("--config", "--check", "--ready-file"))
    assert "run" in CliRunner().invoke(cloud, ["--help"]).output


def test_nothing_here_imports_pyfhel_outside_a_worker() -> None:
    """A process that imported it may crash when it ends: see pericard_edge.confined."""
    assert "Pyfhel" not in sys.modules
