"""ML-KEM by liboqs and by `cryptography` are one suite: each opens what the other made.

Our provider runs on the native library where that is installed, and everywhere on liboqs-js in its place.
"""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from tests.parts.liboqs_js import Oqs

from pericard_protocol.uplink import liboqs
from pericard_protocol.uplink.liboqs import NoLiboqs
from pericard_protocol.uplink.session import CONTEXT
from pericard_protocol.uplink.suites import DEFAULT_SUITE, SUITES, KemError, KemSuite

MESSAGE = b"a session header"


@pytest.fixture(scope="module", params=["native", "liboqs-js"])
def oqs(request: pytest.FixtureRequest) -> ModuleType:
    if request.param == "liboqs-js":
        return Oqs(request.getfixturevalue("liboqs_js"))
    return _native()


@pytest.fixture(scope="module")
def native() -> ModuleType:
    return _native()


def _native() -> ModuleType:
    if why := liboqs.missing():
        pytest.skip(f"liboqs: {why}")
    return liboqs.load_liboqs()


@pytest.fixture(params=SUITES, ids=hex)
def pair(request: pytest.FixtureRequest, oqs: ModuleType) -> tuple[KemSuite, KemSuite]:
    return SUITES[request.param], liboqs.suites(oqs)[request.param]


@pytest.mark.parametrize("turned", [False, True])
def test_each_opens_what_the_other_made(pair: tuple[KemSuite, KemSuite], turned: bool) -> None:
    one, other = reversed(pair) if turned else pair
    private, public = one.generate()
    secret, wrapped = other.encapsulate(public)
    assert one.decapsulate(private, wrapped) == other.decapsulate(private, wrapped) == secret
    assert len(secret) == 32


def test_implicit_rejection_gives_both_the_same_secret(pair: tuple[KemSuite, KemSuite]) -> None:
    """FIPS 203, section 6.3: a wrong ciphertext of the right length gives a secret made of z."""
    one, other = pair
    private, public = one.generate()
    secret, wrapped = one.encapsulate(public)
    wrong = bytes([wrapped[0] ^ 1]) + wrapped[1:]
    if one is DEFAULT_SUITE:  # what HPKE sealed under another secret does not open
        for suite in pair:
            with pytest.raises(KemError):
                suite.decapsulate(private, wrong)
    else:
        assert one.decapsulate(private, wrong) == other.decapsulate(private, wrong) != secret


def test_the_suites_and_their_order_are_the_same(oqs: ModuleType) -> None:
    served = liboqs.suites(oqs)
    assert [(one, served[one].id, served[one].name) for one in served] == [
        (one, suite.id, suite.name) for one, suite in SUITES.items()
    ]


def test_both_refuse_the_same(pair: tuple[KemSuite, KemSuite]) -> None:
    for suite in pair:
        private, public = suite.generate()
        _, wrapped = suite.encapsulate(public)
        for wrong in (b"", public[:-1], public + b"\0", b"\xff" * len(public)):
            with pytest.raises(KemError):
                suite.encapsulate(wrong)
        for key, sealed in ((private, wrapped[:-1]), (private, wrapped + b"\0"), (private[:-1], wrapped)):
            with pytest.raises(KemError):
                suite.decapsulate(key, sealed)


def test_a_signature_under_our_context_is_one_there(native: ModuleType) -> None:
    """liboqs-js signs under the empty context only; the native library takes ours (FIPS 204, algorithm 2)."""
    ours = MLDSA65PrivateKey.generate()
    public = ours.public_key().public_bytes_raw()
    signature = ours.sign(MESSAGE, context=CONTEXT)
    with native.Signature("ML-DSA-65") as peer:
        assert peer.verify_with_ctx_str(MESSAGE, signature, CONTEXT, public)
        assert not peer.verify_with_ctx_str(MESSAGE, signature, b"another", public)
        theirs = MLDSA65PublicKey.from_public_bytes(peer.generate_keypair())
        signature = peer.sign_with_ctx_str(MESSAGE, CONTEXT)
    theirs.verify(signature, MESSAGE, context=CONTEXT)
    with pytest.raises(InvalidSignature):
        theirs.verify(signature, MESSAGE, context=b"another")


@pytest.mark.usefixtures("native")
def test_the_native_library_writes_nothing_to_stdout() -> None:
    """Its wrapper logs there as it is imported, where a command's results go."""
    script = "from pericard_protocol.uplink import liboqs; liboqs.load_liboqs()"
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True).stdout == b""


def test_a_build_without_one_of_the_suites_is_refused() -> None:
    class Poor:
        @staticmethod
        def is_kem_enabled(name: str) -> bool:
            return name != "ML-KEM-1024"

    with pytest.raises(NoLiboqs, match="without ML-KEM-1024"):
        liboqs.suites(cast(ModuleType, Poor))


@pytest.mark.parametrize("broken", [False, True])
def test_where_it_does_not_load_nothing_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: bool
) -> None:
    """The wrapper would clone and build the library at its import: so it is not imported."""
    if broken:
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib/liboqs.so").write_bytes(b"of another machine")
    monkeypatch.setenv("OQS_INSTALL_PATH", str(tmp_path))
    monkeypatch.setattr(liboqs, "find_library", lambda name: None)
    monkeypatch.setattr(liboqs, "find_spec", lambda name: object())
    with pytest.raises(NoLiboqs, match="native library is not installed, or does not load: install"):
        liboqs.load_liboqs()


def test_without_the_wrapper_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liboqs, "find_spec", lambda name: None)
    with pytest.raises(NoLiboqs, match=r"pericard-protocol\[liboqs\]"):
        liboqs.load_liboqs()
