"""ML-KEM by liboqs and by `cryptography` are one suite: each opens what the other made."""

import os

import pytest

from pericard_protocol.uplink import liboqs
from pericard_protocol.uplink.liboqs import NoLiboqs
from pericard_protocol.uplink.suites import SUITES, KemError, Suite

IDS = (0x0041, 0x0042)
needs_liboqs = pytest.mark.skipif(not liboqs.installed(), reason="liboqs is not installed")


@pytest.fixture(params=IDS)
def pair(request: pytest.FixtureRequest) -> tuple[Suite, Suite]:
    return SUITES[request.param], liboqs.suites()[request.param]


@needs_liboqs
@pytest.mark.parametrize("turned", [False, True])
def test_each_opens_what_the_other_made(pair: tuple[Suite, Suite], turned: bool) -> None:
    one, other = reversed(pair) if turned else pair
    private, public = one.generate()
    secret, wrapped = other.encapsulate(public)
    assert one.decapsulate(private, wrapped) == other.decapsulate(private, wrapped) == secret
    assert len(secret) == 32


@needs_liboqs
def test_implicit_rejection_gives_both_the_same_secret(pair: tuple[Suite, Suite]) -> None:
    """FIPS 203, section 6.3: a wrong ciphertext of the right length gives a secret made of z."""
    one, other = pair
    private, public = one.generate()
    secret, wrapped = one.encapsulate(public)
    wrong = bytes([wrapped[0] ^ 1]) + wrapped[1:]
    assert one.decapsulate(private, wrong) == other.decapsulate(private, wrong) != secret


@needs_liboqs
def test_both_refuse_the_same(pair: tuple[Suite, Suite]) -> None:
    for suite in pair:
        private, public = suite.generate()
        _, wrapped = suite.encapsulate(public)
        for wrong in (b"", public[:-1], public + b"\0", b"\xff" * len(public)):
            with pytest.raises(KemError):
                suite.encapsulate(wrong)
        for key, sealed in ((private, wrapped[:-1]), (private, wrapped + b"\0"), (private[:-1], wrapped)):
            with pytest.raises(KemError):
                suite.decapsulate(key, sealed)


def test_where_it_is_not_installed_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrapper would clone and build the library at its import: so it is not imported."""
    monkeypatch.setenv("OQS_INSTALL_PATH", os.devnull)
    monkeypatch.setattr(liboqs, "find_library", lambda name: None)
    assert not liboqs.installed()
    with pytest.raises(NoLiboqs, match="liboqs is not installed"):
        liboqs.suites()
