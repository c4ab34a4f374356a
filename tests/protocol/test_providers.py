"""The provider asked for serves every suite, or nothing does."""

import cryptography
import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from tests.parts.liboqs_js import LiboqsJs, Oqs

from pericard_edge.config import ConfigError, parse_settings
from pericard_protocol.proto.uplink_pb2 import KeyBundle, OpenedFrame
from pericard_protocol.uplink import liboqs
from pericard_protocol.uplink.liboqs import NoLiboqs
from pericard_protocol.uplink.providers import KemSettings, provider
from pericard_protocol.uplink.session import SessionOpener, SessionSealer
from pericard_protocol.uplink.suites import SUITES


def test_without_a_word_it_is_cryptography() -> None:
    chosen = provider(KemSettings().provider)
    assert chosen.suites is SUITES
    assert str(chosen) == f"cryptography {cryptography.__version__}"


def test_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"line 1: provider.*'cryptography' or 'liboqs'"):
        parse_settings('provider = "kyber"', KemSettings)


def test_liboqs_is_refused_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liboqs, "find_spec", lambda name: None)
    with pytest.raises(NoLiboqs, match=r"pip install .*; or choose the KEM provider cryptography"):
        provider("liboqs")


@pytest.mark.parametrize("suite", SUITES, ids=hex)
def test_liboqs_does_every_encapsulation_of_a_session(
    monkeypatch: pytest.MonkeyPatch, liboqs_js: LiboqsJs, suite: int
) -> None:
    monkeypatch.setattr(liboqs, "load_liboqs", lambda: Oqs(liboqs_js))
    chosen = provider("liboqs")
    assert chosen.name == "liboqs"
    private, public = SUITES[suite].generate()
    bundle = KeyBundle(key_id="day", suite=suite, public_key=public, not_after=2**40)
    signer = MLDSA65PrivateKey.generate()
    before = liboqs_js.asked.copy()
    sealer = SessionSealer(bundle, "ward-1", signer, 0, chosen.suites)
    lattice = "ML-KEM-1024" if suite == 0x0042 else "ML-KEM-768"
    assert liboqs_js.asked - before == {("encapsulate", lattice): 1}
    opener = SessionOpener(
        sealer.header,
        "ward-1",
        signer.public_key(),
        lambda _, id_, sealed: SUITES[id_].decapsulate(private, sealed),
    )
    frame = OpenedFrame(device=1, type=1, received_at_us=1, payload=b"x")
    assert list(opener.open(sealer.seal([frame])).frames) == [frame]
