"""liboqs (in WebAssembly) and `cryptography`: each opens what the other made, and both refuse the same."""

import os

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from tests.parts.liboqs_js import LiboqsJs, Refused, expanded

from pericard_protocol.uplink.session import CONTEXT
from pericard_protocol.uplink.suites import SUITES, KemError, KemSuite

MESSAGE = b"a session header"


@pytest.fixture(params=(0x0041, 0x0042))
def suite(request: pytest.FixtureRequest) -> KemSuite:
    return SUITES[request.param]


def test_liboqs_opens_what_we_encapsulated_to_its_key(liboqs_js: LiboqsJs, suite: KemSuite) -> None:
    private, public = liboqs_js.generate(suite.name)
    secret, wrapped = suite.encapsulate(public)
    assert liboqs_js.decapsulate(suite.name, private, wrapped) == secret


def test_we_open_what_liboqs_encapsulated_to_our_key(liboqs_js: LiboqsJs, suite: KemSuite) -> None:
    private, public = suite.generate()
    secret, wrapped = liboqs_js.encapsulate(suite.name, public)
    assert suite.decapsulate(private, wrapped) == secret
    assert len(secret) == 32


@pytest.mark.parametrize("place", [0, 700, -1])
def test_a_changed_ciphertext_gives_both_the_same_other_secret(
    liboqs_js: LiboqsJs, suite: KemSuite, place: int
) -> None:
    """FIPS 203, algorithm 18: implicit rejection gives J(z ‖ c), which only the key's holder can know."""
    private, public = suite.generate()
    secret, wrapped = liboqs_js.encapsulate(suite.name, public)
    changed = bytearray(wrapped)
    changed[place] ^= 1
    there = liboqs_js.decapsulate(suite.name, expanded(suite.name, private), bytes(changed))
    assert suite.decapsulate(private, bytes(changed)) == there != secret
    assert liboqs_js.decapsulate(suite.name, expanded(suite.name, private), wrapped) == secret


def test_both_refuse_a_key_or_ciphertext_of_a_wrong_form(liboqs_js: LiboqsJs, suite: KemSuite) -> None:
    private, public = suite.generate()
    _, wrapped = suite.encapsulate(public)
    whole = expanded(suite.name, private)
    # The last is of the right length, with coefficients above 3,328 (FIPS 203, section 7.2).
    for wrong in (b"", public[:-1], public + b"\0", b"\xff" * len(public)):
        with pytest.raises(KemError):
            suite.encapsulate(wrong)
        with pytest.raises(Refused):
            liboqs_js.encapsulate(suite.name, wrong)
    for wrong in (b"", wrapped[:-1], wrapped + b"\0"):
        with pytest.raises(KemError):
            suite.decapsulate(private, wrong)
        with pytest.raises(Refused):
            liboqs_js.decapsulate(suite.name, whole, wrong)
    with pytest.raises(KemError):
        suite.decapsulate(private[:-1], wrapped)
    with pytest.raises(Refused):
        liboqs_js.decapsulate(suite.name, whole[:-1], wrapped)


@pytest.mark.parametrize("message", [b"", MESSAGE, bytes(100_000)], ids=len)
def test_liboqs_believes_our_signature(liboqs_js: LiboqsJs, message: bytes) -> None:
    key = MLDSA65PrivateKey.generate()
    signature = key.sign(message)
    assert liboqs_js.verify(key.public_key().public_bytes_raw(), signature, message)


@pytest.mark.parametrize("message", [b"", MESSAGE, bytes(100_000)], ids=len)
def test_we_believe_a_signature_of_liboqs(liboqs_js: LiboqsJs, message: bytes) -> None:
    private, public = liboqs_js.generate("ML-DSA-65")
    MLDSA65PublicKey.from_public_bytes(public).verify(liboqs_js.sign(private, message), message)


@pytest.mark.parametrize("place", [0, 1500, -1])
def test_both_refuse_a_changed_signature(liboqs_js: LiboqsJs, place: int) -> None:
    private, public = liboqs_js.generate("ML-DSA-65")
    changed = bytearray(liboqs_js.sign(private, MESSAGE))
    changed[place] ^= 1
    assert not liboqs_js.verify(public, bytes(changed), MESSAGE)
    with pytest.raises(InvalidSignature):
        MLDSA65PublicKey.from_public_bytes(public).verify(bytes(changed), MESSAGE)


def test_both_refuse_a_signature_of_another_context(liboqs_js: LiboqsJs) -> None:
    """What liboqs-js signs has the empty context (FIPS 204, algorithm 2): it can serve no purpose of ours."""
    private, public = liboqs_js.generate("ML-DSA-65")
    with pytest.raises(InvalidSignature):
        MLDSA65PublicKey.from_public_bytes(public).verify(
            liboqs_js.sign(private, MESSAGE), MESSAGE, context=CONTEXT
        )
    key = MLDSA65PrivateKey.generate()
    ours = key.sign(MESSAGE, context=CONTEXT)
    assert not liboqs_js.verify(key.public_key().public_bytes_raw(), ours, MESSAGE)


def test_both_refuse_a_signature_or_verifying_key_of_a_wrong_length(liboqs_js: LiboqsJs) -> None:
    private, public = liboqs_js.generate("ML-DSA-65")
    signature = liboqs_js.sign(private, MESSAGE)
    key = MLDSA65PublicKey.from_public_bytes(public)
    assert not liboqs_js.verify(public, signature[:-1], MESSAGE)
    with pytest.raises(Refused):
        liboqs_js.verify(public, signature + b"\0", MESSAGE)
    for wrong in (signature[:-1], signature + b"\0", os.urandom(64)):
        with pytest.raises(InvalidSignature):
            key.verify(wrong, MESSAGE)
    for short in (public[:-1], public + b"\0"):
        with pytest.raises(Refused):
            liboqs_js.verify(short, signature, MESSAGE)
        with pytest.raises(ValueError, match="public key"):
            MLDSA65PublicKey.from_public_bytes(short)
