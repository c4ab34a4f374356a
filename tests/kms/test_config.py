"""kms.toml: what it may say, that options go before it, and that faults are named before anything is made."""

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.parts.kms import StartKms

from pericard_edge import files
from pericard_edge.config import ConfigError, load_settings
from pericard_edge.kms import KmsClient
from pericard_kms.cli import kms
from pericard_kms.config import PLACES, KeyManagementSettings, overridden

DOCUMENT = Path(__file__).parents[2] / "docs" / "kms.md"


def _example() -> str:
    (block,) = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(block)


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("credentials")
    making = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    making += ["-keyout", "kms.key", "-out", "kms.pem", "-days", "2", "-subj", "/CN=localhost"]
    making += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(making, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def config(tmp_path: Path, credentials: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "kms.pem").write_bytes((credentials / "kms.pem").read_bytes())
    files.write(folder / "kms.key", (credentials / "kms.key").read_bytes())
    files.write(folder / "passphrase", b"a heart in its sac\n")
    (folder / "kms.toml").write_text(_example())
    return folder / "kms.toml"


def test_the_documents_example_is_good_and_shows_every_setting_of_its_tables(config: Path) -> None:
    settings = load_settings(config, KeyManagementSettings)
    shown = settings.model_dump(exclude_unset=True)
    assert settings.tls is not None
    for name, table in shown.items():
        left_out = {"store": {"database"}, "listen": {"insecure_http"}, "tls": {"client_ca"}}.get(name, set())
        assert set(table) | left_out == set(type(getattr(settings, name)).model_fields), name
    assert settings.tls.key == config.parent / "kms.key"
    done = CliRunner().invoke(kms, ["run", "--config", str(config), "--check"])
    assert (done.exit_code, done.stderr) == (0, f"{config}: good\n")
    assert not settings.store.folder.exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('folder = "kms"', 'folder = "kms"\nsize = 3', "line 3: store.size: Extra inputs"),
        ("[metrics]", "[metric]", "line 18: metric: Extra inputs"),
        ('folder = "kms"', "", "line 1: store.folder: Field required"),
        ('durability = "disk"', 'durability = "none"', "line 3: store.durability"),
        ('"127.0.0.1:8200"', '"8200"', "line 6: listen.address"),
        ('"cryptography"', '"openssl"', "kem.provider"),
        ('"127.0.0.1:9468"', '"0.0.0.0:9468"', "metrics.listen"),
        ('[listen]\naddress = "127.0.0.1:8200"', "[listen]\ninsecure_http = true", "give a TLS certificate"),
        (
            "[passphrase]",
            '[pkcs11]\nmodule = "a.so"\ntoken = "t"\npin_file = "p"\n[passphrase]',
            "a passphrase or a PKCS#11 token",
        ),
    ],
)
def test_a_wrong_file_is_named_with_its_line(config: Path, old: str, new: str, message: str) -> None:
    text = _example()
    assert old in text
    config.write_text(text.replace(old, new, 1))
    done = CliRunner().invoke(kms, ["run", "--config", str(config)])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).startswith(f"{config}, line ")
    assert message in str(done.exception)


def test_insecure_http_is_for_loopback_in_the_file_too(config: Path) -> None:
    config.write_text('[store]\nfolder = "kms"\n[listen]\naddress = "10.0.0.5:8200"\ninsecure_http = true\n')
    with pytest.raises(ConfigError, match=r"loopback addresses only, not 10\.0\.0\.5"):
        load_settings(config, KeyManagementSettings)


def test_every_option_goes_before_the_file(config: Path, tmp_path: Path) -> None:
    others: dict[str, object] = {
        "data": tmp_path / "other",
        "database": "postgresql:///kms",
        "durability": "process",
        "listen": "[::1]:1",
        "tls-cert": tmp_path / "c",
        "tls-key": tmp_path / "k",
        "tls-client-ca": tmp_path / "ca",
        "passphrase-file": tmp_path / "p",
        "kem": "liboqs",
        "metrics": "localhost:2",
    }
    unseal_otherwise = {
        "pkcs11-module": tmp_path / "m",
        "pkcs11-token": "t",
        "pkcs11-pin-file": tmp_path / "n",
    }
    assert set(PLACES) == {*others, *unseal_otherwise, "insecure-http"}
    of_file = load_settings(config, KeyManagementSettings)
    assert overridden(of_file, dict.fromkeys(PLACES)) == of_file
    for name, value in others.items():
        table, key = PLACES[name]
        changed = overridden(of_file, {name: value}).model_dump()
        assert changed[table][key] == value
        changed[table][key] = of_file.model_dump()[table][key]
        assert changed == of_file.model_dump(), name  # and nothing else is
    by_token = overridden(of_file, unseal_otherwise)
    assert (by_token.passphrase, by_token.pkcs11 is not None) == (None, True)
    assert overridden(by_token, {"passphrase-file": tmp_path / "p"}).pkcs11 is None
    plain = overridden(of_file, {"insecure-http": True})
    assert (plain.tls, plain.listen.insecure_http) == (None, True)
    assert not overridden(plain, {"tls-cert": tmp_path / "c", "tls-key": tmp_path / "k"}).listen.insecure_http


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--insecure-http",), "--data is missing"),
        (("--data", "d"), "give a TLS certificate and its key"),
        (("--data", "d", "--insecure-http", "--listen", "0.0.0.0:0"), "loopback addresses only, not 0.0.0.0"),
        (("--data", "d", "--insecure-http", "--listen", "nonsense"), "--listen: give HOST:PORT"),
        (("--data", "d", "--insecure-http", "--listen", "127.0.0.1:65536"), "a port up to 65535"),
        (("--data", "d", "--insecure-http", "--pkcs11-token", "t"), "--pkcs11-module is missing"),
    ],
)
def test_options_that_are_no_configuration_are_named(arguments: tuple[str, ...], message: str) -> None:
    done = CliRunner().invoke(kms, ["run", *arguments])
    assert (done.exit_code, message in done.stderr) == (2, True), done.stderr


@pytest.mark.slow
def test_it_serves_by_its_file_and_unseals_itself(config: Path, start: StartKms) -> None:
    config.write_text(_example().replace(":9468", ":0").replace(":8200", ":0"))
    process = start(None, "--config", str(config), secure=True)
    with KmsClient(f"https://127.0.0.1:{process.port}", ca=config.parent / "kms.pem") as client:
        client.call("PUT", "sys/init", {})
        assert client.call("GET", "sys/seal-status")["type"] == "passphrase"
    process.stop()
    process.start()
    with KmsClient(f"https://127.0.0.1:{process.port}", ca=config.parent / "kms.pem") as client:
        assert client.call("GET", "sys/seal-status")["sealed"] is False
    assert (config.parent / "kms" / "kms.sqlite3").exists()
