"""Invariants: open(seal(x)) = x under the right key, version and context, and nothing opens under another."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.parts.kms import VaultClient

from pericard_kms.crypto.key_types import TYPES

AEADS = ["aes128-gcm96", "aes256-gcm96", "aes256-gcm-siv", "chacha20-poly1305"]
# Long primes take seconds to find; the same code makes the short ones.
_SLOW = {"rsa-3072", "rsa-4096"}
SIGNERS = [
    pytest.param(name, marks=pytest.mark.slow if name in _SLOW else ())
    for name, kind in TYPES.items()
    if kind.signs
]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def seal(kms: VaultClient, name: str, data: bytes, **more: Any) -> Any:
    return kms.ok("POST", f"transit/encrypt/{name}", {"plaintext": b64(data), **more})["ciphertext"]


def open_(kms: VaultClient, name: str, box: Any, **more: Any) -> Any:
    return base64.b64decode(
        kms.ok("POST", f"transit/decrypt/{name}", {"ciphertext": box, **more})["plaintext"]
    )


@pytest.mark.parametrize("kind", [*AEADS, "rsa-2048"])
def test_what_is_sealed_opens(kms: VaultClient, kind: str) -> None:
    kms.ok("POST", "transit/keys/k", {"type": kind})
    for data in (b"", b"x", bytes(190)):
        box = seal(kms, "k", data)
        assert box.startswith("vault:v1:")
        assert open_(kms, "k", box) == data
        assert box != seal(kms, "k", data)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.binary(max_size=100), aad=st.binary(min_size=1, max_size=20), at=st.integers(0, 500))
def test_a_changed_box_or_other_data_does_not_open(
    kms: VaultClient, data: bytes, aad: bytes, at: int
) -> None:
    box = seal(kms, "k", data, associated_data=b64(aad))
    assert open_(kms, "k", box, associated_data=b64(aad)) == data
    raw = bytearray(base64.b64decode(box[9:]))
    raw[at % len(raw)] ^= 1 << at % 8
    changed = {"ciphertext": "vault:v1:" + b64(bytes(raw)), "associated_data": b64(aad)}
    assert "authentication failed" in kms.refused(400, "POST", "transit/decrypt/k", changed)
    other = {"ciphertext": box, "associated_data": b64(aad + b"x")}
    kms.refused(400, "POST", "transit/decrypt/k", other)


@pytest.mark.parametrize("kind", AEADS)
def test_a_context_derives_its_own_key(kms: VaultClient, kind: str) -> None:
    kms.ok("POST", "transit/keys/k", {"type": kind, "derived": True})
    box = seal(kms, "k", b"secret", context=b64(b"patient 1"))
    assert open_(kms, "k", box, context=b64(b"patient 1")) == b"secret"
    kms.refused(400, "POST", "transit/decrypt/k", {"ciphertext": box, "context": b64(b"patient 2")})
    assert "context" in kms.refused(400, "POST", "transit/decrypt/k", {"ciphertext": box})


@pytest.mark.parametrize("kind", AEADS)
def test_convergent_encryption_repeats_itself_and_only_itself(kms: VaultClient, kind: str) -> None:
    kms.ok("POST", "transit/keys/k", {"type": kind, "derived": True, "convergent_encryption": True})
    one = seal(kms, "k", b"secret", context=b64(b"c"))
    assert seal(kms, "k", b"secret", context=b64(b"c")) == one
    assert open_(kms, "k", one, context=b64(b"c")) == b"secret"
    others = [
        seal(kms, "k", b"secret2", context=b64(b"c")),
        seal(kms, "k", b"secret", context=b64(b"d")),
        seal(kms, "k", b"secret", context=b64(b"c"), associated_data=b64(b"a")),
    ]
    # Another message, context or associated data shares neither salt nor nonce with the first.
    heads = {base64.b64decode(box[9:])[:28] for box in (one, *others)}
    assert len(heads) == 4


def test_versions_rotate_rewrap_and_retire(kms: VaultClient) -> None:
    old = seal(kms, "k", b"data")
    kms.ok("POST", "transit/keys/k/rotate")
    assert open_(kms, "k", old) == b"data"
    new = kms.ok("POST", "transit/rewrap/k", {"ciphertext": old})["ciphertext"]
    assert new.startswith("vault:v2:")
    assert seal(kms, "k", b"x", key_version=1).startswith("vault:v1:")
    kms.ok("POST", "transit/keys/k/config", {"min_decryption_version": 2, "min_encryption_version": 2})
    assert "too old" in kms.refused(400, "POST", "transit/decrypt/k", {"ciphertext": old})
    kms.refused(400, "POST", "transit/encrypt/k", {"plaintext": "", "key_version": 1})
    kms.ok("POST", "transit/keys/k/trim", {"min_available_version": 2})
    assert list(kms.ok("GET", "transit/keys/k")["keys"]) == ["2"]
    assert open_(kms, "k", new) == b"data"


def test_a_batch_goes_on_after_a_bad_item(kms: VaultClient) -> None:
    good = {"plaintext": b64(b"a"), "reference": "first"}
    status, answer = kms("POST", "transit/encrypt/k", {"batch_input": [good, {"plaintext": "!"}, good]})
    assert status == 400
    first, bad, last = answer["data"]["batch_results"]
    assert (first["reference"], first["key_version"]) == ("first", 1)
    assert "base64" in bad["error"]
    assert first["ciphertext"] != last["ciphertext"]
    boxes = [{"ciphertext": first["ciphertext"]}, {"ciphertext": last["ciphertext"]}]
    opened = kms.ok("POST", "transit/decrypt/k", {"batch_input": boxes})["batch_results"]
    assert [item["plaintext"] for item in opened] == [b64(b"a")] * 2
    rewrapped = kms.ok("POST", "transit/rewrap/k", {"batch_input": boxes})["batch_results"]
    assert all(item["ciphertext"].startswith("vault:v1:") for item in rewrapped)
    chosen = {"batch_input": [{"plaintext": "!"}], "partial_failure_response_code": 207}
    assert kms("POST", "transit/encrypt/k", chosen)[0] == 207


def test_data_keys(kms: VaultClient) -> None:
    kms.ok("POST", "transit/keys/k")
    made = kms.ok("POST", "transit/datakey/plaintext/k", {"bits": 512})
    assert len(base64.b64decode(made["plaintext"])) == 64
    assert b64(open_(kms, "k", made["ciphertext"])) == made["plaintext"]
    wrapped = kms.ok("POST", "transit/datakey/wrapped/k")
    assert "plaintext" not in wrapped
    assert len(open_(kms, "k", wrapped["ciphertext"])) == 32
    kms.refused(400, "POST", "transit/datakey/wrapped/k", {"bits": 100})
    kms.refused(400, "POST", "transit/datakey/shown/k")


@pytest.mark.parametrize("kind", SIGNERS)
def test_signatures_verify_and_others_do_not(kms: VaultClient, kind: str) -> None:
    kms.ok("POST", "transit/keys/k", {"type": kind})
    signed = kms.ok("POST", "transit/sign/k", {"input": b64(b"message")})
    check = {"input": b64(b"message"), "signature": signed["signature"]}
    assert kms.ok("POST", "transit/verify/k", check)["valid"] is True
    assert kms.ok("POST", "transit/verify/k", {**check, "input": b64(b"other")})["valid"] is False
    kms.ok("POST", "transit/keys/other", {"type": kind})
    assert kms.ok("POST", "transit/verify/other", check)["valid"] is False
    batch = {"batch_input": [{"input": b64(b"message"), "signature": signed["signature"]}, check]}
    assert [item["valid"] for item in kms.ok("POST", "transit/verify/k", batch)["batch_results"]] == [
        True,
        True,
    ]


@pytest.mark.parametrize("kind", ["ecdsa-p256", "rsa-2048", "ed25519"])
def test_other_software_verifies_our_signatures(kms: VaultClient, kind: str) -> None:
    kms.ok("POST", "transit/keys/k", {"type": kind})
    public = kms.ok("GET", "transit/keys/k")["keys"]["1"]["public_key"]
    signature = base64.b64decode(kms.ok("POST", "transit/sign/k", {"input": b64(b"m")})["signature"][9:])
    if kind == "ed25519":
        ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(signature, b"m")
        return
    key = serialization.load_pem_public_key(public.encode())
    if isinstance(key, rsa.RSAPublicKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
        key.verify(signature, b"m", pss, hashes.SHA256())
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, b"m", ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ecdsa-p384", {"marshaling_algorithm": "jws", "hash_algorithm": "sha2-384"}),
        ("rsa-2048", {"signature_algorithm": "pkcs1v15", "hash_algorithm": "sha3-256"}),
        ("rsa-2048", {"salt_length": "hash"}),
        ("rsa-2048", {"salt_length": "20"}),
    ],
)
def test_signing_options_hold_for_verifying(kms: VaultClient, kind: str, options: dict[str, Any]) -> None:
    kms.ok("POST", "transit/keys/k", {"type": kind})
    signed = kms.ok("POST", "transit/sign/k", {"input": b64(b"m"), **options})["signature"]
    check = {"input": b64(b"m"), "signature": signed, **options}
    assert kms.ok("POST", "transit/verify/k", check)["valid"] is True
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"m")
    if options.get("hash_algorithm", "sha2-256") == "sha2-256":
        check |= {"input": b64(digest.finalize()), "prehashed": True}
        assert kms.ok("POST", "transit/verify/k", check)["valid"] is True


def test_a_derived_signing_key_shows_its_public_half(kms: VaultClient) -> None:
    kms.ok("POST", "transit/keys/k", {"type": "ed25519", "derived": True})
    body = {"input": b64(b"m"), "context": b64(b"c")}
    signed = kms.ok("POST", "transit/sign/k", body)
    public = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(signed["public_key"]))
    public.verify(base64.b64decode(signed["signature"][9:]), b"m")
    assert kms.ok("POST", "transit/verify/k", {**body, "signature": signed["signature"]})["valid"] is True
    other = {**body, "context": b64(b"d"), "signature": signed["signature"]}
    assert kms.ok("POST", "transit/verify/k", other)["valid"] is False


@pytest.mark.parametrize("kind", ["ml-kem-768", "ml-kem-1024"])
def test_both_ends_of_an_encapsulation_agree(kms: VaultClient, kind: str) -> None:
    kms.ok("POST", "transit/keys/k", {"type": kind})
    sent = kms.ok("POST", "transit/encapsulate/k")
    got = kms.ok("POST", "transit/decapsulate/k", {"ciphertext": sent["ciphertext"]})
    assert got["shared_secret"] == sent["shared_secret"]
    kms.refused(400, "POST", "transit/encrypt/k", {"plaintext": ""})
    kms.refused(400, "POST", "transit/decapsulate/k", {"ciphertext": "vault:v1:AAAA"})


def test_hmac(kms: VaultClient) -> None:
    kms.ok("POST", "transit/keys/k", {"type": "hmac", "key_size": 32})
    tag = kms.ok("POST", "transit/hmac/k/sha2-512", {"input": b64(b"m")})["hmac"]
    check = {"input": b64(b"m"), "hmac": tag, "algorithm": "sha2-512"}
    assert kms.ok("POST", "transit/verify/k", check)["valid"] is True
    assert kms.ok("POST", "transit/verify/k", {**check, "input": ""})["valid"] is False
    kms.ok("POST", "transit/keys/aes")
    kms.ok("POST", "transit/hmac/aes", {"input": b64(b"m")})


def test_random_and_hash(kms: VaultClient) -> None:
    assert len(base64.b64decode(kms.ok("POST", "transit/random/100")["random_bytes"])) == 100
    assert len(kms.ok("POST", "transit/random", {"bytes": 4, "format": "hex"})["random_bytes"]) == 8
    kms.refused(400, "POST", "transit/random/1000000")
    # FIPS 180-4's example: SHA-256("abc").
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert kms.ok("POST", "transit/hash/sha2-256", {"input": b64(b"abc")})["sum"] == digest
    kms.refused(400, "POST", "transit/hash/md5", {"input": ""})


@pytest.mark.slow
def test_a_key_brought_from_outside_is_that_key(kms: VaultClient, subtests: pytest.Subtests) -> None:
    """All kinds in one KMS: its wrapping key, an RSA key of 4096 bits, takes a second to make."""
    for kind in ("aes256-gcm96", "ed25519", "ecdsa-p256", "rsa-2048", "hmac", "ml-dsa-65"):
        with subtests.test(kind=kind):
            _bring_from_outside(kms, kind)


def _bring_from_outside(kms: VaultClient, kind: str) -> None:
    wrapper = serialization.load_pem_public_key(kms.ok("GET", "transit/wrapping_key")["public_key"].encode())
    assert isinstance(wrapper, rsa.RSAPublicKey)
    kek = b"k" * 32
    made: dict[
        str, Callable[[], ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey]
    ] = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    }
    secret = b"s" * 32
    if kind in made:
        secret = made[kind]().private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    for hash_function in (hashes.SHA256(), hashes.SHA1()):  # noqa: S303
        oaep = padding.OAEP(padding.MGF1(hash_function), hash_function, None)
        blob = b64(wrapper.encrypt(kek, oaep) + aes_key_wrap_with_padding(kek, secret))
        name = f"{kind}-{hash_function.name}"
        body = {"type": kind, "ciphertext": blob, "exportable": True, "hash_function": hash_function.name}
        kms.ok("POST", f"transit/keys/{name}/import", body)
    assert "does not allow rotation" in kms.refused(400, "POST", f"transit/keys/{kind}-sha256/rotate")
    tags = [kms.ok("POST", f"transit/hmac/{kind}-{h}", {"input": ""})["hmac"] for h in ("sha1", "sha256")]
    assert tags[0] == tags[1]
    kms.ok(
        "POST", f"transit/keys/{kind}-sha256/import_version", {"ciphertext": blob, "hash_function": "SHA1"}
    )
    assert kms.ok("GET", f"transit/keys/{kind}-sha256")["latest_version"] == 2
    wrong = b64(bytes(700))
    kms.refused(400, "POST", "transit/keys/bad/import", {"type": kind, "ciphertext": wrong})


def test_a_wrapped_export_opens_at_its_destination(kms: VaultClient) -> None:
    kms.ok("POST", "transit/keys/source", {"exportable": True})
    there = rsa.generate_private_key(65537, 3072)
    public = there.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for name in ("there", "again"):
        kms.ok("POST", f"transit/keys/{name}/import", {"type": "rsa-3072", "public_key": public.decode()})
    # No HMAC key can be worked out from a public key.
    tags = [kms.ok("POST", f"transit/hmac/{name}", {"input": ""})["hmac"] for name in ("there", "again")]
    assert tags[0] != tags[1]
    blob = base64.b64decode(kms.ok("GET", "transit/byok-export/there/source")["keys"]["1"])
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding

    material = aes_key_unwrap_with_padding(there.decrypt(blob[:384], oaep), blob[384:])
    assert b64(material) == kms.ok("GET", "transit/export/encryption-key/source/latest")["keys"]["1"]


def test_backup_and_restore(kms: VaultClient) -> None:
    kms.ok("POST", "transit/keys/k", {"exportable": True, "allow_plaintext_backup": True})
    box = seal(kms, "k", b"data")
    backup = kms.ok("GET", "transit/backup/k")["backup"]
    assert "already exists" in kms.refused(400, "POST", "transit/restore", {"backup": backup})
    kms.ok("POST", "transit/restore/again", {"backup": backup})
    assert open_(kms, "again", box) == b"data"
    assert kms.ok("GET", "transit/keys/again")["versions"]["1"]["uses"] == 1
    kms.refused(400, "POST", "transit/restore/x", {"backup": b64(b"{}")})
    kms.ok("POST", "transit/keys/closed")
    for path in ("backup/closed", "export/encryption-key/closed"):
        kms.refused(400, "GET", f"transit/{path}")


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("encrypt/k", {}, "missing plaintext"),
        ("encrypt/k", {"plaintext": 5}, "base64"),
        ("encrypt/k", {"plaintext": "*"}, "base64"),
        ("encrypt/k", {"plaintext": "", "key_version": 9}, "higher"),
        ("encrypt/k", {"plaintext": "", "key_version": "x"}, "whole number"),
        ("encrypt/k", {"batch_input": []}, "missing batch"),
        ("encrypt/k", {"batch_input": ["x"]}, "list of objects"),
        ("encrypt/k", {"batch_input": [{"plaintext": ""}] * 10_001}, "at most 10000"),
        (
            "encrypt/k",
            {"batch_input": [{"plaintext": "", "context": "YQ=="}, {"plaintext": ""}]},
            "either in all",
        ),
        ("decrypt/k", {"ciphertext": "AAAA"}, "no prefix"),
        ("decrypt/k", {"ciphertext": "vault:v1:"}, "length"),
        ("decrypt/k", {"ciphertext": "vault:v" + "9" * 5000 + ":AAAA"}, "invalid ciphertext"),
        ("decrypt/k", {"ciphertext": "vault:v7:AAAA"}, "too new"),
        ("decrypt/missing", {"ciphertext": "vault:v1:AAAA"}, "not found"),
        ("sign/k", {"input": ""}, "does not support signing"),
        ("keys/new", {"type": "rot13"}, "unknown key type"),
        ("keys/new", {"convergent_encryption": True}, "derivation"),
        ("keys/new", {"type": "rsa-2048", "derived": True}, "derivation is not supported"),
        ("keys/new", {"type": "hmac", "key_size": 8}, "key size"),
        ("keys/new", {"auto_rotate_period": "1m"}, "at least an hour"),
        ("keys/.", {}, "invalid key name"),
        ("keys/k/config", {"min_decryption_version": 3}, "latest key version is 1"),
        ("keys/k/trim", {"min_available_version": 1}, "not set"),
    ],
)
def test_each_wrong_request_is_told_what_is_wrong(
    kms: VaultClient, path: str, body: dict[str, Any], text: str
) -> None:
    kms.ok("POST", "transit/keys/k")
    assert text in kms.refused(400, "POST", f"transit/{path}", body)


def test_what_is_not_there(kms: VaultClient) -> None:
    assert kms.refused(404, "GET", "transit/keys/missing") == ""
    assert kms.refused(404, "LIST", "transit/keys") == ""
    assert "no handler" in kms.refused(404, "GET", "nowhere/x")
    assert "unsupported path" in kms.refused(404, "POST", "transit/nothing/k", {})
    assert "unsupported operation" in kms.refused(405, "DELETE", "transit/encrypt/k")


def test_encrypt_makes_a_key_only_for_who_may_create(kms: VaultClient) -> None:
    policy = 'path "transit/encrypt/*" { capabilities = ["%s"] }'
    token = kms.limited(policy % "update")
    kms.refused(403, "POST", "transit/encrypt/new", {"plaintext": ""}, token=token)
    token = kms.limited(policy % "create", "creator")
    kms.ok("POST", "transit/encrypt/new", {"plaintext": ""}, token=token)
    kms.refused(403, "POST", "transit/encrypt/new", {"plaintext": ""}, token=token)


def test_a_mount_path_used_again_starts_empty(kms: VaultClient) -> None:
    box = seal(kms, "k", b"x")
    kms.ok("DELETE", "sys/mounts/transit")
    kms.refused(404, "POST", "transit/decrypt/k", {"ciphertext": box})
    kms.ok("POST", "sys/mounts/transit", {"type": "transit"})
    kms.refused(404, "LIST", "transit/keys")
    kms.ok("POST", "sys/mounts/wards/north", {"type": "transit"})
    kms.ok("POST", "wards/north/keys/k")
    kms.refused(400, "POST", "sys/mounts/wards", {"type": "transit"})
