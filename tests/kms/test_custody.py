"""Invariants: an erased patient's key is nowhere; an FHE secret leaves only sealed; KEM keys die in time."""

import base64
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from tests.parts.kms import Reopen, SetClock, VaultClient
from tests.parts.liboqs_js import LiboqsJs, Oqs

from pericard_kms.crypto.checkpoints import open_checkpoint
from pericard_kms.crypto.merkle import check_inclusion, leaf_hash
from pericard_protocol.fhe.objects import key_fingerprint
from pericard_protocol.proto.uplink_pb2 import KeyBundle, SignedKeyBundle
from pericard_protocol.uplink import liboqs
from pericard_protocol.uplink.bundle import verify_bundle
from pericard_protocol.uplink.suites import SUITES

DAY = 86400


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_data_key_opens_for_its_patient_and_quarter_only(kms: VaultClient) -> None:
    made = kms.ok("POST", "patients/patients/anna/datakey", {"associated_data": b64(b"2026-Q4")})
    body = {"ciphertext": made["ciphertext"], "associated_data": b64(b"2026-Q4")}
    assert kms.ok("POST", "patients/patients/anna/unwrap", body)["plaintext"] == made["plaintext"]
    kms.refused(400, "POST", "patients/patients/anna/unwrap", {**body, "associated_data": b64(b"2027-Q1")})
    kms.ok("POST", "patients/patients/bert/datakey", {})
    kms.refused(400, "POST", "patients/patients/bert/unwrap", body)
    kms.ok("POST", "patients/patients/anna/rotate")
    assert kms.ok("POST", "patients/patients/anna/unwrap", body)["plaintext"] == made["plaintext"]


def test_erasure_leaves_a_receipt_that_proves_it(kms: VaultClient, reopen: Reopen) -> None:
    made = kms.ok("POST", "patients/patients/anna/datakey")
    kms.ok("POST", "patients/patients/anna/rotate")
    store = kms.store
    name = next(name for name in store.names("mount/") if name.endswith("/key/anna"))
    secret = json.loads(kms.stored(name))["versions"][0]["material"]
    receipt = kms.ok("POST", "patients/patients/anna/erase", {"reason": "her request of 3 May"})
    assert (receipt["destroyed_versions"], receipt["copies_found"]) == ([1, 2], [])
    assert receipt["values_searched"] > 0
    public = base64.b64decode(kms.ok("GET", "sys/audit-log/key")["public_key"])
    _, size, root, _ = open_checkpoint(receipt["checkpoint"], public)
    proof = [base64.b64decode(step) for step in receipt["inclusion_proof"]]
    check_inclusion(leaf_hash(receipt["entry"].encode()), receipt["position"], size, proof, root)
    assert "anna" in receipt["entry"]
    kms = reopen()
    body = {"ciphertext": made["ciphertext"]}
    assert "destroyed" in kms.refused(400, "POST", "patients/patients/anna/unwrap", body)
    assert "erased" in kms.refused(400, "POST", "patients/patients/anna/datakey", {})
    assert kms.ok("GET", "patients/patients/anna/receipt") == receipt
    assert not [n for n in kms.store.names("mount/") if secret.encode() in kms.stored(n)]


def test_the_search_finds_a_copy_that_lives(kms: VaultClient) -> None:
    kms.ok("POST", "patients/patients/anna/datakey")
    store = kms.store
    name = next(name for name in store.names("mount/") if name.endswith("/key/anna"))
    store.put("mount/elsewhere/copy", kms.stored(name))
    store.keep_request()
    receipt = kms.ok("POST", "patients/patients/anna/erase", {"reason": "a test"})
    assert receipt["copies_found"] == ["mount/elsewhere/copy"]


@pytest.fixture
def lodged(kms: VaultClient) -> Any:
    return kms.ok(
        "POST",
        "fhe/keys/q4",
        {"scheme": "ckks", "parameters": "n=8192", "secret": b64(b"S" * 999), "evaluation": b64(b"E" * 50)},
    )


def test_the_cloud_gets_the_evaluation_key_and_nothing_else(kms: VaultClient, lodged: Any) -> None:
    cloud = kms.limited('path "fhe/keys/+/evaluation" { capabilities = ["read"] }', "cloud")
    got = kms.ok("GET", "fhe/keys/q4/evaluation", token=cloud)
    assert base64.b64decode(got["evaluation"]) == b"E" * 50
    assert b64(b"S" * 999) not in json.dumps(got)
    for method, path in [
        ("POST", "fhe/keys/q4/release"),
        ("GET", "fhe/keys/q4"),
    ]:
        kms.refused(403, method, path, {} if method == "POST" else None, token=cloud)


def test_the_worker_gets_the_secret_sealed_to_its_own_key(kms: VaultClient, lodged: Any) -> None:
    worker = MLKEM768PrivateKey.generate()
    answer = kms.ok("POST", "fhe/keys/q4/release", {"recipient": b64(worker.public_key().public_bytes_raw())})
    assert b64(b"S" * 9)[:8] not in json.dumps(answer)
    shared = worker.decapsulate(base64.b64decode(answer["encapsulation"]))
    bound = b"q4\x00" + lodged["fingerprint"].encode()
    cipher = AESGCM(HKDF(SHA256(), 32, None, b"pericard kms fhe release\x00" + bound).derive(shared))
    assert cipher.decrypt(bytes(12), base64.b64decode(answer["box"]), bound) == b"S" * 999
    with pytest.raises(InvalidTag):
        cipher.decrypt(bytes(12), base64.b64decode(answer["box"]), b"other")
    kms.refused(400, "POST", "fhe/keys/q4/release", {"recipient": b64(b"x")})


def test_a_key_has_one_fingerprint_also_where_its_record_says_another(kms: VaultClient, lodged: Any) -> None:
    """The one by which hospital and cloud call for it; before, the KMS stored one of its own."""
    expected = key_fingerprint("n=8192", b"E" * 50).hex()
    assert lodged["fingerprint"] == expected
    store = kms.store
    name = next(name for name in store.names("mount/") if name.endswith("/fhe/q4"))
    record = json.loads(kms.stored(name))
    store.put(name, json.dumps({**record, "fingerprint": "0" * 64}).encode())
    assert kms.ok("GET", "fhe/keys/q4")["fingerprint"] == expected
    assert kms.ok("GET", "fhe/keys/q4/evaluation")["fingerprint"] == expected
    kms.refused(400, "POST", "fhe/keys/q5", {"scheme": "ckks", "parameters": "a\0b", "secret": b64(b"s")})


def test_a_lodged_key_is_never_replaced(kms: VaultClient, lodged: Any) -> None:
    other = {"scheme": "ckks", "secret": b64(b"s"), "evaluation": b64(b"e")}
    assert "take another name" in kms.refused(400, "POST", "fhe/keys/q4", other)
    assert base64.b64decode(kms.ok("GET", "fhe/keys/q4/evaluation")["evaluation"]) == b"E" * 50


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_a_gateway_seals_to_the_bundle_and_the_kms_opens(
    kms: VaultClient, clock: SetClock, suite: Any
) -> None:
    pem = kms.ok("GET", "bundles/identity")["public_key"]
    identity = load_pem_public_key(pem.encode())
    assert isinstance(identity, MLDSA65PublicKey)
    answer = kms.ok("GET", f"bundles/today?suites={suite}")
    signed = SignedKeyBundle.FromString(base64.b64decode(answer["bundle"]))
    bundle = verify_bundle(signed, identity, clock.now)
    assert bundle.suite == suite
    secret, encapsulation = SUITES[suite].encapsulate(bundle.public_key)
    path = f"bundles/keys/{bundle.key_id}/decapsulate"
    assert base64.b64decode(kms.ok("POST", path, {"encapsulation": b64(encapsulation)})["secret"]) == secret
    assert kms.ok("GET", f"bundles/today?suites={suite}")["key_id"] == bundle.key_id
    kms.refused(400, "POST", path, {"encapsulation": b64(b"x")})
    clock.now += DAY
    assert kms.ok("GET", f"bundles/today?suites={suite}")["key_id"] != bundle.key_id


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_a_kms_on_liboqs_opens_the_keys_of_one_on_cryptography_and_makes_its_own(
    reopen: Reopen, clock: SetClock, liboqs_js: LiboqsJs, suite: Any
) -> None:
    """The provider may be changed at any start: the keys are the same bytes."""

    def sealed_today(kms: VaultClient) -> Any:
        signed = SignedKeyBundle.FromString(
            base64.b64decode(kms.ok("GET", f"bundles/today?suites={suite}")["bundle"])
        )
        bundle = KeyBundle.FromString(signed.bundle)
        return bundle.key_id, *SUITES[suite].encapsulate(bundle.public_key)

    days = [sealed_today(reopen())]
    clock.now += DAY
    kms = reopen(suites=liboqs.suites(Oqs(liboqs_js)))
    days.append(sealed_today(kms))
    for key_id, secret, encapsulation in days:
        answer = kms.ok("POST", f"bundles/keys/{key_id}/decapsulate", {"encapsulation": b64(encapsulation)})
        assert base64.b64decode(answer["secret"]) == secret
        kms.refused(400, "POST", f"bundles/keys/{key_id}/decapsulate", {"encapsulation": b64(b"x")})
    lattice = "ML-KEM-1024" if suite == 0x0042 else "ML-KEM-768"
    assert liboqs_js.asked["decapsulate", lattice] >= 2


def test_a_days_key_is_destroyed_unless_a_gateway_needs_it(kms: VaultClient, clock: SetClock) -> None:
    one = kms.ok("GET", "bundles/today?suites=65")["key_id"]
    other = kms.ok("GET", "bundles/today?suites=66")["key_id"]
    kms.ok("POST", f"bundles/keys/{other}/hold", {"gateway": "gw-1"})
    clock.now += 9 * DAY
    kms.api.tick()
    assert kms.ok("GET", f"bundles/keys/{one}")["destroyed"] is True
    assert "by design" in kms.refused(400, "POST", f"bundles/keys/{one}/decapsulate", {"encapsulation": ""})
    assert kms.ok("GET", f"bundles/keys/{other}")["destroyed"] is False
    kms.ok("POST", f"bundles/keys/{other}/release", {"gateway": "gw-1"})
    kms.api.tick()
    assert kms.ok("GET", f"bundles/keys/{other}")["destroyed"] is True
    assert "private" not in kms.ok("GET", f"bundles/keys/{other}")
