"""Whoever keeps the hospital's keys, a folder or the KMS, does the same: one contract, run against both."""

import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from tests.parts.liboqs_js import Oqs

from pericard_edge.files import FileError
from pericard_edge.kms import KmsClient, NoToken, TokenDenied, seal_file
from pericard_kms.access.roles import ROLES
from pericard_protocol.errors import PeerError, Unavailable, UsageError
from pericard_protocol.fhe.parameters import MOMENTS
from pericard_protocol.proto.uplink_pb2 import KeyBundle, OpenedFrame
from pericard_protocol.uplink import liboqs
from pericard_protocol.uplink.bundle import verify_bundle
from pericard_protocol.uplink.providers import provider
from pericard_protocol.uplink.session import SessionOpener, SessionSealer
from pericard_protocol.uplink.suites import SUITES, KemError
from pericard_server.config import KmsSettings
from pericard_server.custody.fhe import FheKeys
from pericard_server.custody.folder import KeyFolder
from pericard_server.custody.keys import HospitalKeys
from pericard_server.custody.kms import KmsKeys
from pericard_server.errors import NoPrivateKey, TamperedRow

pytestmark = pytest.mark.slow  # a KMS starts for each

NOW_DAY = 86_400


class Kept:
    """Keys, and what a test needs to disturb them."""

    def __init__(self, keys: HospitalKeys, away: Callable[[], None], now: Callable[[], float]) -> None:
        self.keys, self.away, self.now = keys, away, now


@pytest.fixture(params=["folder", "folder on liboqs", "kms"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    if request.param != "kms":
        if on_liboqs := request.param == "folder on liboqs":
            peer = Oqs(request.getfixturevalue("liboqs_js"))
            request.getfixturevalue("monkeypatch").setattr(liboqs, "load_liboqs", lambda: peer)
        folder = KeyFolder(tmp_path / "keys", provider("liboqs" if on_liboqs else "cryptography"))
        folder.create()

        def lose() -> None:
            for path in (tmp_path / "keys").iterdir():
                path.chmod(0o644)  # refused from now on

        yield Kept(folder, lose, time.time)
        return
    open_kms = request.getfixturevalue("open_kms")
    process, root = open_kms
    with KmsClient(process.url, root) as client:
        made = client.call("POST", "auth/token/create", {"policies": ["server"], "no_parent": True})
    request.getfixturevalue("monkeypatch").setenv("PERICARD_KMS_TOKEN", made["auth"]["client_token"])

    def seal() -> None:
        with KmsClient(process.url, root) as client:
            client.call("PUT", "sys/seal")

    with closing(KmsKeys(process.url, None, "hospital-files")) as keys:
        yield Kept(keys, seal, time.time)


def session(kept: Kept, suite: int) -> tuple[SessionSealer, MLDSA65PrivateKey]:
    pinned: Any = load_pem_public_key(kept.keys.identity_pem())
    bundle = verify_bundle(kept.keys.bundle([suite], kept.now()), pinned, kept.now())
    assert bundle.suite == suite
    signer = MLDSA65PrivateKey.generate()
    return SessionSealer(bundle, "ward-1", signer, kept.now()), signer


@pytest.mark.parametrize("suite", SUITES)
def test_a_session_sealed_to_the_bundle_opens(kept: Kept, suite: int) -> None:
    sealer, signer = session(kept, suite)
    opener = SessionOpener(sealer.header, "ward-1", signer.public_key(), kept.keys.decapsulate)
    frame = OpenedFrame(device=1, type=1, received_at_us=1, payload=b"x")
    assert list(opener.open(sealer.seal([frame])).frames) == [frame]


def test_the_days_bundle_is_made_once(kept: Kept) -> None:
    first, again = (KeyBundle.FromString(kept.keys.bundle([0x0041], kept.now()).bundle) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("key_id", ["2020-01-01-647a", "../identity.seed", "keys/../x", "", "ü", "a?b=c"])
def test_a_key_id_that_was_never_published_is_refused(kept: Kept, key_id: str) -> None:
    with pytest.raises(NoPrivateKey):
        kept.keys.decapsulate(key_id, 0x647A, bytes(1168))


def test_a_malformed_encapsulation_is_refused(kept: Kept) -> None:
    bundle = KeyBundle.FromString(kept.keys.bundle([0x0041], kept.now()).bundle)
    with pytest.raises(KemError):
        kept.keys.decapsulate(bundle.key_id, 0x0041, b"short")


def test_a_data_key_unwraps_for_its_owner_and_quarter_only(kept: Kept) -> None:
    data_key, wrapped = kept.keys.new_key("patient-a", "2026-Q4")
    kept.keys.new_key("patient-b", "2026-Q4")
    assert len(data_key) == 32
    assert data_key not in wrapped
    assert kept.keys.unwrap("patient-a", "2026-Q4", wrapped) == data_key
    changed = bytes([*wrapped[:-3], wrapped[-3] ^ 1, *wrapped[-2:]])
    for owner, quarter, form in (
        ("patient-b", "2026-Q4", wrapped),
        ("patient-c", "2026-Q4", wrapped),
        ("patient-a", "2026-Q3", wrapped),
        ("patient-a", "2026-Q4", changed),
        ("patient-a", "2026-Q4", b"junk"),
    ):
        with pytest.raises(TamperedRow):
            kept.keys.unwrap(owner, quarter, form)


def test_fhe_keys_are_made_once_and_come_back(kept: Kept, fhe_keys: FheKeys) -> None:
    assert kept.keys.fhe_keys(lambda: fhe_keys) == fhe_keys
    assert kept.keys.fhe_keys(lambda: pytest.fail("made twice")) == fhe_keys
    assert fhe_keys.parameters == MOMENTS


def test_keys_that_cannot_be_had_now_are_no_refusal_for_good(kept: Kept) -> None:
    """A PeerError would have the gateway set the record aside: our own trouble must never be one."""
    sealer, signer = session(kept, 0x647A)
    data_key, wrapped = kept.keys.new_key("patient-a", "2026-Q4")
    kept.away()
    for ask in (
        lambda: SessionOpener(sealer.header, "ward-1", signer.public_key(), kept.keys.decapsulate),
        lambda: kept.keys.unwrap("patient-a", "2026-Q4", wrapped),
        lambda: kept.keys.new_key("patient-a", "2026-Q4"),
        kept.keys.identity_pem,
        kept.keys.check,
    ):
        with pytest.raises((Unavailable, UsageError)) as caught:
            ask()
        assert not isinstance(caught.value, PeerError)
        assert b64encode(data_key).decode() not in str(caught.value)


def test_a_token_that_may_not_is_named_with_what_is_missing(
    open_kms: Any, tmp_path: Path, token_of: Any
) -> None:
    """Waiting mends nothing here, so it is not `Unavailable`; and no record may be set aside for it."""
    process, _ = open_kms
    (tmp_path / "tls.key").write_bytes(b"vault:v1:x")
    (tmp_path / "tls.key").chmod(0o600)
    token_of("cloud")
    with closing(KmsKeys(process.url, None, "hospital-files")) as keys:
        for ask in (
            keys.check,
            lambda: keys.bundle([0x0041], time.time()),
            lambda: keys.decapsulate("2026-01-01-647a", 0x647A, bytes(1168)),
            lambda: keys.new_key("patient-a", "2026-Q4"),
            lambda: keys.unwrap("patient-a", "2026-Q4", b"vault:v1:x"),
            keys.lost_devices,
            lambda: keys.read_secret(tmp_path / "tls.key", "TLS key"),
        ):
            with pytest.raises(TokenDenied, match=r"PERICARD_KMS_TOKEN .* lacks the policy `server`"):
                ask()
    assert issubclass(TokenDenied, UsageError)
    assert not issubclass(TokenDenied, Unavailable | PeerError)


def test_a_sealed_file_opens_under_its_own_name_only(open_kms: Any, tmp_path: Path, token_of: Any) -> None:
    process, root = open_kms
    path = tmp_path / "tls.key"
    path.write_bytes(b"PRIVATE")
    with KmsClient(process.url, root) as client:
        client.call("POST", "sys/mounts/transit", {"type": "transit"})
        client.call("POST", "transit/keys/hospital-files", {})
        seal_file(client, "hospital-files", path)
    assert b"PRIVATE" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    token_of("server")
    other = tmp_path / "other.key"
    other.write_bytes(path.read_bytes())
    other.chmod(0o600)
    with closing(KmsKeys(process.url, None, "hospital-files")) as keys:
        assert keys.read_secret(path, "TLS key") == b"PRIVATE"
        with pytest.raises(PeerError):
            keys.read_secret(other, "TLS key")
        other.write_bytes(b"PRIVATE")
        with pytest.raises(FileError, match="is not sealed"):
            keys.read_secret(other, "TLS key")


def test_the_hospitals_token_opens_no_gateways_file(open_kms: Any, tmp_path: Path, token_of: Any) -> None:
    """Invariant: of the sealed files it opens those under the key that the configuration names."""
    process, root = open_kms
    key = KmsSettings(address=process.url, ca=tmp_path / "ca.pem").files_key
    own, wards = tmp_path / "hospital.key", tmp_path / "identity.pem"
    own.write_bytes(b"OURS")
    wards.write_bytes(b"PRIVATE")
    with KmsClient(process.url, root) as client:
        client.call("POST", "sys/mounts/transit", {"type": "transit"})
        for name, path in ((key, own), ("ward-1-files", wards)):
            client.call("POST", f"transit/keys/{name}", {})
            seal_file(client, name, path)
    token_of("server")
    with closing(KmsKeys(process.url, None, key)) as keys:
        assert keys.read_secret(own, "TLS key") == b"OURS"
    with closing(KmsKeys(process.url, None, "ward-1-files")) as keys, pytest.raises(TokenDenied):
        keys.read_secret(wards, "identity")


def test_without_a_token_the_server_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERICARD_KMS_TOKEN", raising=False)
    with pytest.raises(NoToken, match="pericard kms token --policy server"):
        KmsKeys("http://127.0.0.1:1", None, "x")


def test_the_roles_name_no_path_that_the_server_does_not_need() -> None:
    assert "transit/keys" not in ROLES["server"]
    assert "fhe/keys/+/release" not in ROLES["cloud"]
