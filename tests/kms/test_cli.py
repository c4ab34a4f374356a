"""`pericard kms` against the real process: the ceremonies of docs/kms.md, and least privilege."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import cryptography
import pytest
from click.testing import CliRunner
from tests.parts.kms import KmsProcess, StartKms, VaultClient

from pericard_edge.kms import KmsClient, read_sealed
from pericard_kms.access.roles import ROLES
from pericard_kms.cli import kms
from pericard_protocol.uplink import liboqs


class Command:
    """`pericard kms …` with an address and a token."""

    def __init__(self, url: str) -> None:
        self.url, self.token = url, ""
        self.shares: list[str] = []

    def __call__(self, *arguments: str, code: int = 0, typed: str = "", token: str | None = None) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pericard_kms", "--address", self.url, *arguments],
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            env={"PERICARD_KMS_TOKEN": self.token if token is None else token, "PYTHONWARNINGS": "error"},
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr


def test_a_kem_provider_that_is_not_installed_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liboqs, "find_spec", lambda name: None)
    data = tmp_path / "kms"
    done = CliRunner().invoke(kms, ["run", "--data", str(data), "--insecure-http", "--kem", "liboqs"])
    assert isinstance(done.exception, liboqs.NoLiboqs)
    assert not data.exists()


@pytest.mark.slow
def test_the_log_says_who_computes(tmp_path: Path, start: StartKms) -> None:
    process = start(tmp_path / "kms")
    process.process.terminate()
    assert f'"kem": "cryptography {cryptography.__version__}"' in process.process.communicate()[1].decode()


@pytest.fixture
def command(process: KmsProcess) -> Command:
    command = Command(process.url)
    assert (
        "initialized: False"
        in subprocess.run(
            [sys.executable, "-m", "pericard_kms", "--address", process.url, "status"],
            capture_output=True,
            text=True,
        ).stdout
    )
    made = json.loads(command("init", "--shares", "3", "--threshold", "2", "--json"))
    for share in made["keys_base64"][:2]:
        command("unseal", typed=share + "\n")
    command.token = made["root_token"]
    command.shares = made["keys_base64"]
    return command


@pytest.mark.slow
def test_keys_devices_and_leases(command: Command, process: KmsProcess, tmp_path: Path) -> None:
    assert json.loads(command("status", "--json"))["sealed"] is False
    assert command("roles").split() == list(ROLES)
    officer = command("token", "--policy", "key-officer", "--ttl", "8h").strip()
    status = [sys.executable, "-c", MOUNT, process.url, command.token]
    subprocess.run(status, check=True)
    assert "latest_version: 1" in command("key", "create", "k", "--type", "ml-kem-768", token=officer)
    assert command("key", "list", token=officer) == "k\n"
    command("key", "rotate", "k", token=officer)
    private = tmp_path / "server.key"
    private.write_text("a private key")
    command("key", "create", "hospital-files", token=officer)
    command("key", "seal-file", "hospital-files", str(private))
    assert b"private" not in private.read_bytes()
    with KmsClient(process.url, command("token", "--policy", "server").strip()) as client:
        assert read_sealed(client, "hospital-files", private, "the key") == b"a private key"
    assert json.loads(command("key", "show", "k", "--json", token=officer))["latest_version"] == 2
    command("key", "state", "k", "suspended", "--reason", "a test", token=officer)
    assert "destroy_at" in command("key", "destroy", "k", "--reason", "the end", token=officer)
    command("key", "destroy", "k", "--cancel", token=officer)
    command("device", "enrol", "7", "--owner", "ward north", token=officer)
    assert len(json.loads(command("device", "provision", "7", "--json", token=officer))["key"]) == 44
    command("device", "state", "7", "lost", "--reason", "gone", token=officer)
    shown = json.loads(command("device", "show", "7", "--json", token=officer))
    assert (shown["state"], shown["still_lent"]) == ("lost", {})
    assert command("device", "list", token=officer) == "7\n"
    refused = command("token", "--policy", "root", token=officer, code=1)
    assert "permission denied" in refused
    command("seal", token=officer)
    assert "sealed" in command("key", "list", code=1)
    command("status", code=1)
    command("unseal", typed=command.shares[0] + "\n")
    assert "progress: 0" in command("unseal", "--reset")


MOUNT = """
import sys
from pericard_edge.kms import KmsClient
with KmsClient(sys.argv[1], sys.argv[2]) as client:
    client.call("POST", "sys/mounts/transit", {"type": "transit"})
"""


@pytest.mark.slow
def test_the_audit_ceremony(command: Command, tmp_path: Path) -> None:
    command("roles")
    auditor = command("token", "--policy", "auditor").strip()
    key = command("audit", "key", token=auditor).strip()
    older = tmp_path / "older.checkpoint"
    older.write_text(command("audit", "checkpoint", token=auditor))
    export = tmp_path / "log.jsonl"
    command("audit", "export", str(export), token=auditor)
    checks = ("audit", "verify", str(export), "--key", key, "--checkpoint", str(older))
    assert command(*checks, token="").startswith("sound: ")
    assert json.loads(command(*checks, "--json"))["checkpoints"] == 1
    followed = command("audit", "follow", str(older), "--key", key, token=auditor)
    assert int(followed.split("\n")[1]) > int(older.read_text().split("\n")[1])
    changed = export.read_text().replace('"status":200', '"status":201', 1)
    export.write_text(changed)
    assert "Error: " in command(*checks, code=1)
    command("audit", "verify", str(export), "--key", "AAAA", code=2)


@pytest.mark.slow
def test_an_erasure_receipt_is_verified_offline(command: Command, tmp_path: Path) -> None:
    with KmsClient(command.url, command.token) as client:
        client.call("POST", "patients/patients/anna/datakey", {})
        receipt = client.call("POST", "patients/patients/anna/erase", {"reason": "her request"})
    key = command("audit", "key").strip()
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt))
    assert "sound: erased the wrapping key of the patient anna" in command(
        "audit", "receipt", str(file), "--key", key
    )
    forged: list[dict[str, object]] = [
        {"patient": "bert"},
        {"position": 0},
        {"entry": receipt["entry"].replace("anna", "bert")},
        {"entry": 1},
    ]
    for change in forged:
        file.write_text(json.dumps({**receipt, **change}))
        assert "Error: " in command("audit", "receipt", str(file), "--key", key, code=1)


def test_every_role_is_least_privilege(kms: VaultClient) -> None:
    """For every path that matters: exactly the roles that need it may use it."""
    for key in ("k", "hospital-files", "ward-1-files"):
        kms.ok("POST", f"transit/keys/{key}")
    tokens = {name: kms.limited(text, name) for name, text in ROLES.items()}
    wanted = {
        ("update", "transit/encrypt/hospital-files"): {"server"},
        ("update", "transit/decrypt/hospital-files"): {"server"},
        ("update", "transit/rewrap/hospital-files"): {"server"},
        ("update", "transit/encrypt/ward-1-files"): set(),
        ("update", "transit/decrypt/ward-1-files"): set(),
        ("update", "transit/rewrap/ward-1-files"): set(),
        ("update", "transit/datakey/wrapped/k"): set(),
        ("update", "transit/keys/k/rotate"): {"key-officer"},
        ("read", "transit/export/encryption-key/k"): set(),
        ("read", "transit/backup/k"): set(),
        ("update", "patients/patients/p/unwrap"): {"server"},
        ("update", "patients/patients/p/erase"): {"key-officer"},
        ("read", "fhe/keys/q/evaluation"): {"cloud", "server"},
        ("update", "fhe/keys/q/release"): {"server"},
        ("update", "bundles/keys/d/decapsulate"): {"server"},
        ("read", "bundles/today"): {"gateway", "server"},
        ("update", "devices/leases"): {"gateway"},
        ("update", "devices/devices/7/provision"): {"key-officer"},
        ("update", "devices/devices/7/state"): {"key-officer"},
        ("read", "sys/audit-log/entries"): {"auditor"},
        ("update", "sys/policies/acl/x"): set(),
        ("update", "auth/token/create"): set(),
        ("update", "sys/mounts/x"): set(),
        ("sudo", "sys/seal"): {"key-officer"},
    }
    for (capability, path), roles in wanted.items():
        granted = {
            name
            for name, token in tokens.items()
            if capability in kms.ok("POST", "sys/capabilities", {"token": token, "paths": [path]})[path]
        }
        assert granted == roles, (capability, path)


@pytest.mark.slow
def test_usage_errors_say_what_to_do(tmp_path: Path) -> None:
    def run(*arguments: Any) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "pericard_kms", *arguments], capture_output=True, text=True
        )
        return done.returncode, done.stderr

    data = ("run", "--data", str(tmp_path / "d"))
    code, text = run(*data)
    assert (code, "give a TLS certificate" in text) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, text = run(*data, "--insecure-http", "--listen", address)
    assert (code, f"Error: cannot listen on {address}: " in text) == (1, True)
    code, text = run("--address", "http://127.0.0.1:1", "status")
    assert code == 1
    assert "no answer from the KMS" in text
