"""The README: its configuration is one that the server accepts, and its commands do what they say."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.parts.certificates import CertificateAuthority
from tests.parts.documents import blocks, commands, text_of
from tests.parts.hospital import make

from pericard_edge.config import parse_settings
from pericard_server.config import HospitalSettings

README = text_of("server/hospital/README.md")


def test_the_example_is_accepted() -> None:
    (example,) = blocks(README, "toml")
    config = parse_settings(example, HospitalSettings, "server.toml")
    assert config.cloud is not None
    assert config.cloud.name == "cloud"
    assert config.records.suite == "aes-256-gcm-siv"


@pytest.mark.slow  # a process for each command
def test_the_commands_run(tmp_path: Path, authority: CertificateAuthority) -> None:
    """All that the README shows, in its order, but serving and the analysis, which need a cloud."""
    (tmp_path / "ca.key").write_bytes(authority.private_key)
    (tmp_path / "ca.key").chmod(0o600)
    key = MLDSA65PrivateKey.generate().public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "ward-1.pub.pem").write_bytes(pem)
    hospital = make(tmp_path, authority, more='[enrolment]\nauthority_key = "ca.key"\n')
    ran = set()
    for words in commands(README):
        if words[0] != "server" or words[1] in ("run", "analyse"):
            continue
        shown = words[1 : words.index(">")] if ">" in words else words[1:]
        at = shown.index("--config")
        given = [str(tmp_path / word) if word.endswith(".pem") else word for word in shown[:at]]
        if "NAME" in given:
            (listed,) = json.loads(hospital.command("quarantine", "list", "--json").stdout)
            given[given.index("NAME")] = listed["name"]
        hospital.command(*given)
        ran.add(" ".join(shown[:2]))
    assert {"gateway invite", "device lost", "quarantine release", "waveform --patient"} <= ran
