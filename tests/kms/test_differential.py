"""The same requests to the real OpenBao server and to ours: same status codes, at least the same fields.

Each opens what it sealed itself; what one made in the clear (exports, public keys, digests) the other knows.
"""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.parts.kms import KmsProcess
from tests.parts.ports import lasting_port

pytestmark = pytest.mark.slow  # OpenBao starts

BAO = Path(sys.executable).with_name("bao")
ROOT = "differential-root"
A = base64.b64encode(b"a").decode()
# What this KMS does not have of OpenBao's answers, each with its reason.
NOT_OURS = {
    "running_plugin_version",  # no plugins
    "running_sha256",
    "plugin_version",
    "deprecation_status",
    "external_entropy_access",
    "cluster_name",  # one process, no cluster
    "cluster_id",
    "commit_date",
    "allow_slashes_in_identity_templates",  # no identity templates
    "allow_wildcards_in_identity_templates",
    "cas_required",
    "modified",
    "cubbyhole/",  # engines that only OpenBao mounts by itself
    "identity/",
    "secret/",
    "sys/",
}
# Of one path only: policies are not versioned here.
NOT_HERE = {"sys/policies/acl/p": {".data.version"}, "sys/policy/p": {".version", ".data.version"}}


class Server:
    """One of the two servers."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def __call__(
        self, method: str, path: str, body: dict[str, Any] | None = None, token: str | None = None
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Vault-Token": self.token if token is None else token}
        request = urllib.request.Request(f"{self.url}/v1/{path}", data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"{}")


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    port = lasting_port()
    process = subprocess.Popen(
        [BAO, "server", "-dev", f"-dev-root-token-id={ROOT}", f"-dev-listen-address=127.0.0.1:{port}"],
        env={**os.environ, "HOME": str(tmp_path_factory.mktemp("bao"))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    server = Server(f"http://127.0.0.1:{port}", ROOT)
    for _ in range(1200):  # it announces nothing that can be awaited but its port
        try:
            if server("GET", "sys/health")[0] == 200:
                break
        except OSError:
            time.sleep(0.05)
    yield server
    process.terminate()
    process.wait(20)


@pytest.fixture
def both(bao: Any, process: KmsProcess) -> Any:
    ours = Server(process.url, "")
    _, made = ours("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
    ours("PUT", "sys/unseal", {"key": made["keys"][0]})
    ours.token = made["root_token"]
    for server in (bao, ours):
        server("DELETE", "sys/mounts/transit")
        assert server("POST", "sys/mounts/transit", {"type": "transit"})[0] == 204
    return bao, ours


def lacks(theirs: Any, ours: Any, at: Any = "") -> Any:
    """The fields of OpenBao's answer that ours does not have, or has with another JSON type."""
    if isinstance(theirs, dict):
        if not isinstance(ours, dict):
            return [f"{at}: not an object"]
        found = []
        for name, value in theirs.items():
            if name in NOT_OURS:
                continue
            if name not in ours:
                found.append(f"{at}.{name}")
            else:
                found += lacks(value, ours[name], f"{at}.{name}")
        return found
    if isinstance(theirs, list) and isinstance(ours, list):
        return [fault for one, two in zip(theirs, ours, strict=False) for fault in lacks(one, two, f"{at}[]")]
    alike = theirs is None or ours is None or isinstance(ours, type(theirs)) or isinstance(theirs, type(ours))
    return [] if alike else [f"{at}: {type(theirs).__name__} there, {type(ours).__name__} here"]


SCRIPT = [
    ("POST", "transit/keys/k", {}),
    ("POST", "transit/keys/k", {"type": "rsa-2048"}),
    ("GET", "transit/keys/k", None),
    ("LIST", "transit/keys", None),
    ("GET", "transit/keys?list=true", None),
    ("POST", "transit/encrypt/k", {"plaintext": A}),
    ("POST", "transit/encrypt/k", {"plaintext": A, "associated_data": A}),
    ("POST", "transit/encrypt/k", {"batch_input": [{"plaintext": A, "reference": "r"}, {"plaintext": "!"}]}),
    ("POST", "transit/encrypt/k", {"plaintext": "!"}),
    ("POST", "transit/encrypt/k", {}),
    ("POST", "transit/encrypt/k", {"plaintext": A, "key_version": 7}),
    ("POST", "transit/encrypt/fresh", {"plaintext": A}),
    ("POST", "transit/decrypt/k", {"ciphertext": "vault:v1:AAAA"}),
    ("POST", "transit/decrypt/k", {"ciphertext": "junk"}),
    ("POST", "transit/decrypt/k", {"batch_input": [{"ciphertext": "junk"}]}),
    ("POST", "transit/decrypt/missing", {"ciphertext": "vault:v1:AAAA"}),
    ("POST", "transit/rewrap/missing", {"ciphertext": "vault:v1:AAAA"}),
    ("POST", "transit/datakey/plaintext/k", {}),
    ("POST", "transit/datakey/wrapped/k", {"bits": 512}),
    ("POST", "transit/datakey/wrapped/k", {"bits": 99}),
    ("POST", "transit/datakey/other/k", {}),
    ("POST", "transit/keys/k/rotate", {}),
    ("POST", "transit/keys/missing/rotate", {}),
    ("POST", "transit/keys/k/config", {"min_decryption_version": 9}),
    ("POST", "transit/keys/k/config", {"min_encryption_version": 2}),
    ("POST", "transit/keys/k/config", {"auto_rotate_period": "1s"}),
    ("POST", "transit/keys/k/config", {"auto_rotate_period": "24h"}),
    ("POST", "transit/keys/k/trim", {"min_available_version": 2}),
    ("POST", "transit/keys/k/trim", {}),
    ("POST", "transit/keys/k/config", {"exportable": True, "allow_plaintext_backup": True}),
    ("GET", "transit/export/encryption-key/k", None),
    ("GET", "transit/export/encryption-key/k/latest", None),
    ("GET", "transit/export/encryption-key/k/9", None),
    ("GET", "transit/export/signing-key/k", None),
    ("GET", "transit/export/hmac-key/k", None),
    ("GET", "transit/export/nothing/k", None),
    ("GET", "transit/export/encryption-key/missing", None),
    ("GET", "transit/backup/k", None),
    ("GET", "transit/backup/fresh", None),
    ("POST", "transit/restore", {}),
    ("DELETE", "transit/keys/k", None),
    ("DELETE", "transit/keys/missing", None),
    ("GET", "transit/keys/missing", None),
    ("POST", "transit/keys/none", {"type": "none"}),
    ("POST", "transit/keys/c", {"convergent_encryption": True}),
    ("POST", "transit/keys/d", {"derived": True, "convergent_encryption": True}),
    ("GET", "transit/keys/d", None),
    ("POST", "transit/encrypt/d", {"plaintext": A}),
    ("POST", "transit/encrypt/d", {"plaintext": A, "context": A}),
    *[("POST", f"transit/keys/{kind}", {"type": kind}) for kind in ("ed25519", "ecdsa-p256", "rsa-2048")],
    *[("POST", f"transit/keys/{kind}", {"type": kind}) for kind in ("aes128-gcm96", "chacha20-poly1305")],
    ("POST", "transit/keys/mac", {"type": "hmac", "key_size": 32}),
    ("POST", "transit/keys/badmac", {"type": "hmac"}),
    ("GET", "transit/keys/mac", None),
    ("POST", "transit/encrypt/mac", {"plaintext": A}),
    ("POST", "transit/sign/ed25519", {"input": A}),
    ("POST", "transit/sign/rsa-2048", {"input": A, "signature_algorithm": "pkcs1v15"}),
    ("POST", "transit/sign/rsa-2048", {"input": A, "signature_algorithm": "none"}),
    ("POST", "transit/sign/ecdsa-p256/sha2-512", {"input": A, "marshaling_algorithm": "jws"}),
    ("POST", "transit/sign/ecdsa-p256", {"input": A, "marshaling_algorithm": "none"}),
    ("POST", "transit/sign/ecdsa-p256", {"input": A, "hash_algorithm": "none"}),
    ("POST", "transit/sign/ecdsa-p256", {"batch_input": [{"input": A}, {"input": "!"}]}),
    ("POST", "transit/sign/k", {"input": A}),
    ("POST", "transit/sign/missing", {"input": A}),
    ("POST", "transit/verify/ed25519", {"input": A, "signature": "vault:v1:AAAA"}),
    ("POST", "transit/verify/ed25519", {"input": A, "signature": "junk"}),
    ("POST", "transit/verify/ed25519", {"input": A}),
    ("POST", "transit/hmac/k", {"input": A}),
    ("POST", "transit/hmac/mac/sha2-512", {"input": A}),
    ("POST", "transit/hmac/k", {}),
    ("POST", "transit/hmac/k", {"batch_input": [{"input": A}]}),
    ("POST", "transit/random", {}),
    ("POST", "transit/random/16", {"format": "hex"}),
    ("POST", "transit/random", {"bytes": 0}),
    ("POST", "transit/random", {"format": "base32"}),
    ("POST", "transit/hash", {"input": A}),
    ("POST", "transit/hash/sha3-256", {"input": A, "format": "base64"}),
    ("POST", "transit/hash", {}),
    ("GET", "transit/wrapping_key", None),
    ("POST", "transit/keys/in/import", {"ciphertext": A}),
    ("POST", "transit/keys/in/import", {}),
    ("POST", "transit/nothing/k", {}),
    ("GET", "transit/encrypt/k", None),
    ("GET", "nowhere/at/all", None),
    ("GET", "sys/health", None),
    ("GET", "sys/seal-status", None),
    ("GET", "sys/init", None),
    ("GET", "sys/leader", None),
    ("GET", "sys/mounts", None),
    ("GET", "sys/mounts/transit", None),
    ("POST", "sys/mounts/transit", {"type": "transit"}),
    ("POST", "sys/mounts/x", {"type": "no such engine"}),
    ("DELETE", "sys/mounts/never", None),
    ("LIST", "sys/policies/acl", None),
    ("GET", "sys/policy", None),
    ("PUT", "sys/policies/acl/p", {"policy": 'path "a" { capabilities = ["read"] }'}),
    ("GET", "sys/policies/acl/p", None),
    ("GET", "sys/policy/p", None),
    ("PUT", "sys/policies/acl/q", {"policy": 'path "a" { capabilities = ["fly"] }'}),
    ("PUT", "sys/policies/acl/q", {}),
    ("PUT", "sys/policies/acl/root", {"policy": 'path "a" { capabilities = ["read"] }'}),
    ("GET", "sys/policies/acl/missing", None),
    ("DELETE", "sys/policies/acl/p", None),
    ("DELETE", "sys/policies/acl/default", None),
    ("POST", "sys/capabilities-self", {"paths": ["transit/keys/k", "sys/seal"]}),
    ("POST", "sys/capabilities-self", {}),
    ("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}),
    ("POST", "auth/token/create", {"policies": ["default"], "ttl": "1h"}),
    ("POST", "auth/token/create", {"num_uses": -1}),
    ("POST", "auth/token/create-orphan", {"policies": ["default"]}),
    ("POST", "auth/token/lookup", {"token": "none"}),
    ("GET", "auth/token/lookup-self", None),
    ("POST", "auth/token/lookup-accessor", {"accessor": "none"}),
    ("POST", "auth/token/renew", {"token": "none"}),
    ("POST", "auth/token/renew-self", {}),
    ("POST", "auth/token/revoke", {"token": "none"}),
    ("POST", "auth/token/revoke", {}),
    ("LIST", "auth/token/accessors", None),
    ("POST", "auth/token/tidy", {}),
]


def test_every_answer_is_alike(both: Any) -> None:
    bao, ours = both
    faults = []
    for method, path, body in SCRIPT:
        (status, theirs), (got, answer) = bao(method, path, body), ours(method, path, body)
        if (status, got) == (500, 400):
            continue  # OpenBao blames itself for some mistakes of the client; here they are the client's
        if status != got:
            faults.append(f"{method} {path} {body}: {status} there {theirs}, {got} here {answer}")
        elif fault := set(lacks(theirs, answer)) - NOT_HERE.get(path, set()):
            faults.append(f"{method} {path} {body}: {fault}")
    assert not faults, "\n".join(faults)


def test_denials_are_alike(both: Any) -> None:
    for server in both:
        server("POST", "transit/keys/k", {})
        server(
            "PUT", "sys/policies/acl/narrow", {"policy": 'path "transit/keys/k" { capabilities = ["read"] }'}
        )
    tokens = {
        s: s("POST", "auth/token/create", {"policies": ["narrow"]})[1]["auth"]["client_token"] for s in both
    }
    for method, path in [
        ("GET", "transit/keys/k"),
        ("GET", "transit/keys/other"),
        ("POST", "transit/encrypt/k"),
        ("GET", "nowhere/at/all"),
        ("PUT", "sys/seal"),
        ("GET", "auth/token/lookup-self"),
        ("POST", "auth/token/create"),
    ]:
        body: dict[str, Any] | None = {} if method != "GET" else None
        codes = [server(method, path, body, token=tokens[server])[0] for server in both]
        assert codes[0] == codes[1], (method, path, codes)
    for token in ("", "bad"):
        assert [s("GET", "transit/keys/k", token=token)[0] for s in both] == [403, 403]


@pytest.mark.parametrize("kind", ["aes256-gcm96", "ed25519", "ecdsa-p256", "rsa-2048", "chacha20-poly1305"])
def test_each_opens_what_it_should(both: Any, kind: str) -> None:
    bao, ours = both
    signing = kind not in ("aes256-gcm96", "chacha20-poly1305")
    for server in both:
        server("POST", "transit/keys/k", {"type": kind, "exportable": True})
        if not signing:
            box = server("POST", "transit/encrypt/k", {"plaintext": A, "associated_data": A})[1]["data"][
                "ciphertext"
            ]
            opened = server("POST", "transit/decrypt/k", {"ciphertext": box, "associated_data": A})
            assert opened[1]["data"]["plaintext"] == A
    # A public key or an HMAC key of one, brought to the other, verifies what the first made.
    if not signing:
        return
    for maker, checker in ((bao, ours), (ours, bao)):
        public = maker("GET", "transit/keys/k")[1]["data"]["keys"]["1"]["public_key"]
        if kind == "ed25519":
            # SubjectPublicKeyInfo of Ed25519 is a fixed head and the 32 bytes (RFC 8410, section 10.1).
            raw = bytes.fromhex("302a300506032b6570032100") + base64.b64decode(public)
            public = (
                f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(raw).decode()}\n-----END PUBLIC KEY-----\n"
            )
        name = f"from-{kind}"
        status, answer = checker("POST", f"transit/keys/{name}/import", {"type": kind, "public_key": public})
        assert status in (200, 204), answer
        signed = maker("POST", "transit/sign/k", {"input": A})[1]["data"]["signature"]
        assert checker("POST", f"transit/verify/{name}", {"input": A, "signature": signed})[1]["data"][
            "valid"
        ]
        changed = {"input": base64.b64encode(b"b").decode(), "signature": signed}
        assert checker("POST", f"transit/verify/{name}", changed)[1]["data"]["valid"] is False
