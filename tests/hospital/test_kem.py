"""[kem] of server.toml: shown, refused where it decides nothing, and never replaced by another."""

from pathlib import Path

import cryptography
import pytest
from tests.parts.hospital import Hospital

from pericard_edge.config import ConfigError, parse_settings
from pericard_protocol.uplink import liboqs
from pericard_server.config import HospitalSettings

FILES = '[tls]\ncertificate = "a"\nkey = "b"\nca = "c"\n'
LIBOQS = '[kem]\nprovider = "liboqs"\n'

OURS = f"cryptography {cryptography.__version__}"


@pytest.mark.slow
def test_the_status_says_who_computes(hospital: Hospital) -> None:
    assert f"kem\t{OURS}\n" in hospital.command("status").stdout


@pytest.mark.slow
def test_the_log_says_who_computes(hospital: Hospital) -> None:
    assert f'"kem": "{OURS}"' in hospital.command("run", "--check").stderr


def test_beside_a_kms_it_is_refused() -> None:
    """There the KMS computes: a setting that decides nothing would mislead."""
    kms = '[kms]\naddress = "https://kms.example:8200"\nca = "ca.pem"\n'
    parse_settings(FILES + kms, HospitalSettings)
    parse_settings(FILES + "[keys]\n" + LIBOQS, HospitalSettings)
    with pytest.raises(ConfigError, match=r"pericard kms run --kem"):
        parse_settings(FILES + kms + LIBOQS, HospitalSettings)


def _on_liboqs(hospital: Hospital) -> None:
    config = Path(hospital.config)
    config.write_text(config.read_text() + LIBOQS)


@pytest.mark.slow
def test_a_provider_that_is_not_installed_is_refused(hospital: Hospital) -> None:
    if not liboqs.missing():
        pytest.skip("liboqs is installed here: there is nothing to refuse")
    _on_liboqs(hospital)
    done = hospital.command("run", "--check", check=False)
    assert done.returncode != 0
    assert "liboqs cannot be used" in done.stderr


@pytest.mark.slow
def test_the_native_library_serves_when_asked_for(hospital: Hospital) -> None:
    if why := liboqs.missing():
        pytest.skip(f"liboqs: {why}")
    _on_liboqs(hospital)
    assert '"kem": "liboqs ' in hospital.command("run", "--check").stderr
