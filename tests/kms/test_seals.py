"""Invariant: only what sealed the root key unseals it: these shares, this passphrase, this token."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.parts.kms import Reopen, StartKms, VaultClient

from pericard_edge.kms import KmsClient
from pericard_kms.ceremonies.seals import PassphraseSeal
from pericard_kms.errors import Misused, Tampered

MODULES = [Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")]
MODULE = next((path for path in MODULES if path.exists()), None)


def private(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)


def test_shares_of_another_kms_do_not_unseal(kms: VaultClient, reopen: Reopen) -> None:
    kms.ok("PUT", "sys/seal")
    for share in ("ab" * 33, "cd" * 33):
        status, answer = kms("PUT", "sys/unseal", {"key": share})
    assert (status, "invalid key" in answer["errors"][0]) == (400, True)
    assert kms("GET", "sys/seal-status")[1]["progress"] == 0
    for wrong in ("", "zz", "00" * 32, "A" * 5000):
        kms.refused(400, "PUT", "sys/unseal", {"key": wrong})
    assert kms.refused(503, "GET", "sys/mounts") == "Vault is sealed"
    assert kms("GET", "sys/health")[0] == 503
    reopen()


def test_the_same_share_twice_is_one(kms: VaultClient, reopen: Reopen) -> None:
    kms.ok("PUT", "sys/seal")
    for _ in range(3):
        assert kms("PUT", "sys/unseal", {"key": "ab" * 33})[1]["progress"] == 1
    assert kms("PUT", "sys/unseal", {"reset": True})[1]["progress"] == 0


def test_a_second_init_is_refused(kms: VaultClient) -> None:
    assert "already initialized" in kms.refused(400, "PUT", "sys/init", {"secret_shares": 1})


def test_the_passphrase_opens_and_another_does_not() -> None:
    record = json.loads(json.dumps(PassphraseSeal(b"five quite random words here").wrap(b"r" * 32)))
    assert PassphraseSeal(b"five quite random words here").unwrap(record) == b"r" * 32
    with pytest.raises(Tampered):
        PassphraseSeal(b"five quite random words hera").unwrap(record)
    with pytest.raises(Tampered, match="absurd"):
        PassphraseSeal(b"x" * 20).unwrap({**record, "cost": {**record["cost"], "memory_cost": 2**40}})
    with pytest.raises(Misused, match="shorter"):
        PassphraseSeal(b"short").wrap(b"r" * 32)
    assert "words" not in repr(PassphraseSeal(b"five quite random words here"))


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A fresh SoftHSM2 token."""
    if find_spec("PyKCS11") is None:
        pytest.skip("PyKCS11 is not installed: it comes with the extra `pkcs11`")
    if MODULE is None:
        pytest.skip("SoftHSM2 is not installed; `tools/system-packages softhsm2` installs it as root")
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    making = [
        "softhsm2-util",
        "--init-token",
        "--free",
        "--label",
        "kms",
        "--so-pin",
        "1234",
        "--pin",
        "5678",
    ]
    subprocess.run(making, check=True, capture_output=True)
    return configuration


@pytest.mark.slow
def test_an_hsm_unseals_by_itself_after_a_restart(token: Any, tmp_path: Path, start: StartKms) -> None:
    """In processes of their own: a PKCS#11 library is loaded once per process."""
    pin = tmp_path / "pin"
    private(pin, "5678\n")
    options = ("--pkcs11-module", str(MODULE), "--pkcs11-token", "kms", "--pkcs11-pin-file", str(pin))
    process = start(tmp_path / "served", *options)
    with KmsClient(process.url) as client:
        made = client.call("PUT", "sys/init", {})
        assert made["keys"] == []
        status = client.call("GET", "sys/seal-status")
        assert (status["sealed"], status["type"]) == (False, "pkcs11")
    with KmsClient(process.url, made["root_token"]) as client:
        client.call("POST", "sys/mounts/transit", {"type": "transit"})
        box = client.call("POST", "transit/encrypt/k", {"plaintext": "aGVhcnQ="})["ciphertext"]
    process.kill()
    process.start()
    with KmsClient(process.url, made["root_token"]) as client:
        assert client.call("POST", "transit/decrypt/k", {"ciphertext": box})["plaintext"] == "aGVhcnQ="
    process.stop()
    with pytest.raises(AssertionError, match="not by passphrase"):
        start(tmp_path / "served", "--passphrase-file", str(pin))
    private(pin, "0000\n")
    with pytest.raises(AssertionError, match="cannot be used"):
        start(tmp_path / "served", *options)
    private(pin, "5678\n")
    # Another token, same label and PIN: it holds another key.
    for path in sorted((tmp_path / "tokens").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    making = [
        "softhsm2-util",
        "--init-token",
        "--free",
        "--label",
        "kms",
        "--so-pin",
        "1234",
        "--pin",
        "5678",
    ]
    subprocess.run(making, check=True, capture_output=True)
    with pytest.raises(AssertionError, match="holds no key"):
        start(tmp_path / "served", *options)


def test_the_token_does_not_give_its_key_away(token: Any) -> None:
    script = f"""
from pathlib import Path
import PyKCS11
from pericard_kms.ceremonies.seals import Pkcs11Seal
seal = Pkcs11Seal(Path({str(MODULE)!r}), "kms", "5678")
assert "5678" not in repr(seal)
record = seal.wrap(b"r" * 32)
assert seal.unwrap(record) == b"r" * 32
library = PyKCS11.PyKCS11Lib()
library.load({str(MODULE)!r})
session = library.openSession(library.getSlotList(tokenPresent=True)[0])
session.login("5678")
(key,) = session.findObjects([(PyKCS11.CKA_LABEL, "pericard-kms-root")])
value, sensitive, extractable = session.getAttributeValue(
    key, [PyKCS11.CKA_VALUE, PyKCS11.CKA_SENSITIVE, PyKCS11.CKA_EXTRACTABLE]
)
assert not value and sensitive and not extractable, (value, sensitive, extractable)
print("kept")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "kept\n", done.stderr


@pytest.mark.slow
def test_a_passphrase_kms_opens_itself(tmp_path: Path, start: StartKms) -> None:
    words = tmp_path / "words"
    private(words, "five quite random words here\n")
    process = start(tmp_path / "served", "--passphrase-file", str(words))
    with KmsClient(process.url) as client:
        client.call("PUT", "sys/init", {})
    process.kill()
    process.start()
    with KmsClient(process.url) as client:
        assert client.call("GET", "sys/seal-status")["sealed"] is False
    process.stop()
    private(words, "five quite wrong words here\n")
    with pytest.raises(AssertionError, match="does not open"):
        start(tmp_path / "served", "--passphrase-file", str(words))
    words.chmod(0o644)
    with pytest.raises(AssertionError, match="chmod 600"):
        start(tmp_path / "served", "--passphrase-file", str(words))
