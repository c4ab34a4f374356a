"""gateway.toml: the README's example is right, and what is wrong is named, as is every file it names."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.parts.ward import Ward, pericard_gateway

from pericard_edge.config import ConfigError, load_settings
from pericard_edge.files import FileError
from pericard_gateway.config import GatewaySettings
from pericard_gateway.errors import RegistryError
from pericard_gateway.service import GatewayService
from pericard_protocol.channel import CredentialError
from pericard_protocol.device.update import build
from pericard_protocol.errors import UsageError

README = Path(__file__).parents[2] / "gateway" / "README.md"


def _example() -> str:
    (found,) = re.findall(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    return str(found)


def test_the_example_of_the_readme_is_right(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(_example())
    settings = load_settings(path, GatewaySettings)
    assert settings.state == tmp_path / "state"
    assert settings.tls.key == tmp_path / "gateway.key"
    assert str(settings.ports[0].path) == "/dev/ttyUSB0"
    assert settings.ble[0].address == "C4:4F:33:00:00:01"
    assert settings.spool.max_mb == 1024
    assert settings.updates is not None
    assert (settings.updates.path, settings.updates.key) == (
        tmp_path / "node.update",
        tmp_path / "update.pem",
    )


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('gateway_id = "ward-1"', 'gateway_id = "../ward"', "gateway_id"),
        ("baud = 115200", 'baud = "fast"', "ports.0.baud"),
        ("C4:4F:33:00:00:01", "bed 4", "ble.0.address"),
        ("hospital.example:8443", "hospital.example", "server.address"),
        ("127.0.0.1:9464", "0.0.0.0:9464", "metrics.listen"),
        ("max_mb = 1024", "max_mb = 0", "spool.max_mb"),
        ('ca = "ca.pem"', 'ca = ""', "tls.ca"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path: Path, old: str, new: str, key: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(_example().replace(old, new))
    number = 1 + path.read_text()[: path.read_text().index(new)].count("\n")
    with pytest.raises(ConfigError, match=rf"gateway\.toml, line {number}: {re.escape(key)}:"):
        load_settings(path, GatewaySettings)


def test_either_ports_or_ble_devices_are_enough_but_not_neither(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    without_ports = re.sub(r"\[\[ports\]\][^\[]*", "", _example())
    path.write_text(without_ports)
    assert (load_settings(path, GatewaySettings).ports, len(load_settings(path, GatewaySettings).ble)) == (
        [],
        1,
    )
    path.write_text(re.sub(r"\[\[ble\]\][^\[]*", "", _example()))
    assert (len(load_settings(path, GatewaySettings).ports), load_settings(path, GatewaySettings).ble) == (
        1,
        [],
    )
    path.write_text(re.sub(r"\[\[ble\]\][^\[]*", "", without_ports))
    with pytest.raises(ConfigError, match="nothing to read"):
        load_settings(path, GatewaySettings)


def _loosen(folder: Path, name: str) -> None:
    (folder / name).chmod(0o640)


@pytest.mark.parametrize("name", ["registry.json", "tls.key", "identity.pem"])
def test_a_secret_that_others_can_read_is_refused(ward: Ward, name: str) -> None:
    settings = load_settings(ward.configure(), GatewaySettings)
    _loosen(ward.folder, name)
    with pytest.raises(FileError, match=rf"{name} can be read by others: chmod 600"):
        GatewayService(settings)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("registry.json", b"{}", RegistryError),
        ("tls.key", b"no key", CredentialError),
        ("tls.pem", b"no certificate", CredentialError),
        ("ca.pem", b"", CredentialError),
        ("identity.pem", b"no key", FileError),
        ("hospital.pem", b"no key", FileError),
    ],
)
def test_a_wrong_file_is_named(ward: Ward, name: str, content: bytes, error: type[Exception]) -> None:
    settings = load_settings(ward.configure(), GatewaySettings)
    (ward.folder / name).write_bytes(content)
    with pytest.raises(error):
        GatewayService(settings)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("node.update", b"PUPD", r"node\.update: this is no update"),
        ("update.pem", b"no key", "update key .* is not a public key"),
    ],
)
def test_an_update_that_no_device_would_take_is_refused(
    ward: Ward, name: str, content: bytes, said: str
) -> None:
    ward.extra = '[updates]\npath = "node.update"\nkey = "update.pem"\n'
    key = Ed25519PrivateKey.generate()
    settings = load_settings(ward.configure(), GatewaySettings)
    (ward.folder / "node.update").write_bytes(build({"/main.py": b""}, 1, key).stream)
    (ward.folder / "update.pem").write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    GatewayService(settings)
    (ward.folder / name).write_bytes(content)
    with pytest.raises(UsageError, match=said):
        GatewayService(settings)


def test_a_key_of_another_kind_is_refused(ward: Ward) -> None:
    settings = load_settings(ward.configure(), GatewaySettings)
    (ward.folder / "identity.pem").write_bytes(ward.tls.private_key)
    with pytest.raises(FileError, match="not an unencrypted ML-DSA-65 private key"):
        GatewayService(settings)


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (lambda folder: None, 0, "good"),
        (lambda folder: _loosen(folder, "registry.json"), 1, "chmod 600"),
        (lambda folder: (folder / "gateway.toml").write_text("x = 1"), 1, "gateway.toml, line 1: x:"),
        (lambda folder: (folder / "gateway.toml").unlink(), 2, "does not exist"),
    ],
)
def test_check_says_what_is_wrong(ward: Ward, spoil: Callable[[Path], None], code: int, said: str) -> None:
    config = ward.configure()
    spoil(ward.folder)
    done = subprocess.run(
        [*pericard_gateway("run"), "--check", "--config", str(config)], capture_output=True, text=True
    )
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert not (ward.folder / "state").exists()
