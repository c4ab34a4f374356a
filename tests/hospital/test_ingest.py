"""The Uplink service as a real process behind real mutual TLS: what it commits, and all that it refuses."""

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from grpc import StatusCode
from tests.parts.certificates import CertificateAuthority
from tests.parts.hospital import Hospital

from pericard_protocol.channel import Identity, channel_credentials, channel_options
from pericard_protocol.device.frame import FrameType
from pericard_protocol.proto.uplink_pb2 import Ack, KeyBundle, KeyBundleRequest, OpenedFrame, Sealed
from pericard_protocol.proto.uplink_pb2_grpc import UplinkStub
from pericard_protocol.uplink.bundle import verify_bundle
from pericard_protocol.uplink.session import MAX_MESSAGE_BYTES, SessionSealer
from pericard_protocol.uplink.suites import SUITES

pytestmark = pytest.mark.slow  # each starts the server as a process

MARKER = b"PLANTED-MARKER-72bpm"


def frames(count: int, boot: int = 1) -> list[OpenedFrame]:
    return [
        OpenedFrame(
            device=1,
            boot=boot,
            seq=seq,
            type=FrameType.VITALS,
            received_at_us=int(time.time() * 1e6),
            payload=MARKER,
        )
        for seq in range(count)
    ]


@contextmanager
def connected(address: str, identity: Identity) -> Iterator[UplinkStub]:
    options = channel_options(MAX_MESSAGE_BYTES, server_name="localhost")
    with grpc.secure_channel(address, channel_credentials(identity), options=options) as channel:
        yield UplinkStub(channel)


def bundle(stub: UplinkStub, hospital: Hospital, suite: int = 0x647A) -> KeyBundle:
    pinned = load_pem_public_key(hospital.command("identity").stdout.encode())
    assert isinstance(pinned, MLDSA65PublicKey)
    signed = stub.GetKeyBundle(KeyBundleRequest(suites=[suite]), timeout=60)
    return verify_bundle(signed, pinned, time.time())


def deliver(stub: UplinkStub, parts: list[Sealed]) -> list[tuple[int, str]]:
    """The acknowledgements as (status, reason)."""
    return [(ack.status, ack.reason) for ack in stub.Ingest(iter(parts), timeout=60)]


def status(hospital: Hospital) -> dict[str, object]:
    found: dict[str, object] = json.loads(hospital.command("status", "--json").stdout)
    return found


@pytest.mark.parametrize("suite", SUITES)
def test_a_gateway_delivers_and_nothing_readable_is_on_disk(hospital: Hospital, suite: int) -> None:
    signer = hospital.gateway("ward-1")
    with hospital.running() as address, connected(address, hospital.identity("ward-1")) as stub:
        session = SessionSealer(bundle(stub, hospital, suite), "ward-1", signer, time.time())
        record = Sealed(record=session.seal(frames(300)))
        sent = [
            Sealed(session=session.header),
            record,
            record,
            Sealed(record=session.seal(frames(5, boot=2))),
        ]
        assert deliver(stub, sent) == [(Ack.COMMITTED, "")] * 3
    assert status(hospital)["stored"] == 305
    assert status(hospital)["refused"] == {}
    for path in hospital.folder.rglob("*"):
        if path.is_file():
            assert MARKER not in path.read_bytes(), path


def test_what_is_wrong_is_refused_counted_and_the_rest_goes_on(hospital: Hospital) -> None:
    signer = hospital.gateway("ward-1")
    with hospital.running() as address, connected(address, hospital.identity("ward-1")) as stub:
        found = bundle(stub, hospital)
        good = SessionSealer(found, "ward-1", signer, time.time())
        forged = SessionSealer(found, "ward-1", MLDSA65PrivateKey.generate(), time.time())
        another = SessionSealer(found, "ward-2", signer, time.time())
        lost_key = KeyBundle(key_id="2020-01-01-647a", suite=0x647A, public_key=found.public_key)
        lost_key.not_after = found.not_after
        lost = SessionSealer(lost_key, "ward-1", signer, time.time())
        path = KeyBundle(key_id="../identity.seed", suite=0x647A, public_key=found.public_key)
        path.not_after = found.not_after
        escaping = SessionSealer(path, "ward-1", signer, time.time())
        tampered = good.seal(frames(1))
        tampered.ciphertext = bytes([tampered.ciphertext[0] ^ 1]) + tampered.ciphertext[1:]
        sent = [Sealed()]
        for session in (forged, another, lost, escaping, good):
            sent += [Sealed(session=session.header), Sealed(record=session.seal(frames(1)))]
        sent.append(Sealed(record=tampered))
        assert deliver(stub, sent) == [
            (Ack.REFUSED, "unknown session"),
            (Ack.REFUSED, "unknown session"),
            (Ack.REFUSED, "unknown session"),
            (Ack.REFUSED, "unknown session"),
            (Ack.COMMITTED, ""),
            (Ack.REFUSED, "record"),
        ]
    found_status = status(hospital)
    assert found_status["stored"] == 1
    assert found_status["refused"] == {
        "empty message": 1,
        "session signature": 1,
        "session": 1,
        "no private key": 2,
        "unknown session": 4,
        "record": 1,
    }


def refused_code(call: Callable[[], object]) -> StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    code: StatusCode = caught.value.code()
    return code


def test_who_may_not_deliver(hospital: Hospital, other_authority: CertificateAuthority) -> None:
    hospital.gateway("ward-1")
    stranger = dataclasses.replace(
        other_authority.issue("ward-1"), authorities=hospital.identity("x").authorities
    )
    request = KeyBundleRequest(suites=[0x647A])
    with hospital.running() as address:
        with connected(address, hospital.identity("ward-9")) as stub:  # certified, not registered
            assert (
                refused_code(lambda: stub.GetKeyBundle(request, timeout=60)) == StatusCode.PERMISSION_DENIED
            )
        with connected(address, stranger) as stub:  # another authority
            assert refused_code(lambda: stub.GetKeyBundle(request, timeout=60)) == StatusCode.UNAVAILABLE
        with connected(address, hospital.identity("ward-1")) as stub:
            hospital.command("gateway", "revoke", "ward-1")
            assert (
                refused_code(lambda: stub.GetKeyBundle(request, timeout=60)) == StatusCode.PERMISSION_DENIED
            )
    assert status(hospital)["refused"] == {"unknown gateway": 2}


def test_an_idle_stream_of_a_revoked_gateway_is_cut(hospital: Hospital) -> None:
    hospital.gateway("ward-1")
    silent = threading.Event()
    with hospital.running() as address, connected(address, hospital.identity("ward-1")) as stub:
        stream = stub.Ingest((Sealed() for _ in iter(silent.wait, True)), timeout=60)  # sends nothing
        stub.GetKeyBundle(KeyBundleRequest(), timeout=60)
        hospital.command("gateway", "revoke", "ward-1")
        code = refused_code(lambda: list(stream))
        silent.set()
        assert code == StatusCode.CANCELLED


def test_a_hospital_without_its_keys_keeps_nothing_and_refuses_nothing(hospital: Hospital) -> None:
    """Its own trouble: the gateway keeps the record, and delivers it when the keys are back."""
    signer = hospital.gateway("ward-1")
    with hospital.running() as address, connected(address, hospital.identity("ward-1")) as stub:
        session = SessionSealer(bundle(stub, hospital), "ward-1", signer, time.time())
        parts = [Sealed(session=session.header), Sealed(record=session.seal(frames(1)))]
        keys = list((hospital.folder / "keys").glob("kem-*.key"))
        for key in keys:
            key.chmod(0o644)
        assert refused_code(lambda: deliver(stub, parts)) == StatusCode.UNAVAILABLE
        for key in keys:
            key.chmod(0o600)
        assert deliver(stub, parts) == [(Ack.COMMITTED, "")]
        identity = hospital.folder / "keys" / "identity.seed"
        identity.chmod(0o644)
        request = KeyBundleRequest(suites=[0x647A])
        assert refused_code(lambda: stub.GetKeyBundle(request, timeout=60)) == StatusCode.UNAVAILABLE
        identity.chmod(0o600)
        stub.GetKeyBundle(request, timeout=60)
    assert status(hospital)["refused"] == {}


def test_a_truncated_or_oversized_message_ends_its_call_only(hospital: Hospital) -> None:
    signer = hospital.gateway("ward-1")
    with hospital.running() as address:
        identity = hospital.identity("ward-1")
        options = channel_options(64 << 20, server_name="localhost")
        with grpc.secure_channel(address, channel_credentials(identity), options=options) as channel:
            raw = channel.stream_stream("/pericard.protocol.uplink.v1.Uplink/Ingest")
            cut = Sealed(session=SessionSealer(KEY, "ward-1", signer, 0).header).SerializeToString()[:-7]
            assert refused_code(lambda: list(raw(iter([cut]), timeout=60))) == StatusCode.INTERNAL
            huge = bytes(MAX_MESSAGE_BYTES + 1024)
            assert refused_code(lambda: list(raw(iter([huge]), timeout=60))) == StatusCode.RESOURCE_EXHAUSTED
        with connected(address, identity) as stub:
            session = SessionSealer(bundle(stub, hospital), "ward-1", signer, time.time())
            parts = [Sealed(session=session.header), Sealed(record=session.seal(frames(1)))]
            assert deliver(stub, parts) == [(Ack.COMMITTED, "")]


KEY = KeyBundle(key_id="any", suite=0x0041, public_key=SUITES[0x0041].generate()[1], not_after=2**40)


def test_a_client_without_a_certificate_is_turned_away(hospital: Hospital) -> None:
    authorities = (hospital.folder / "ca.pem").read_bytes()
    options = channel_options(1024, server_name="localhost")
    with hospital.running() as address:
        anonymous = grpc.ssl_channel_credentials(authorities)
        with grpc.secure_channel(address, anonymous, options=options) as channel:
            call = UplinkStub(channel).GetKeyBundle
            assert refused_code(lambda: call(KeyBundleRequest(), timeout=60)) == StatusCode.UNAVAILABLE


def test_keys_that_others_can_read_stop_the_server(hospital: Hospital) -> None:
    (hospital.folder / "keys" / "wrapping.key").chmod(0o640)
    done = hospital.command("run", "--check", check=False)
    assert done.returncode == 1
    assert "can be read by others: chmod 600" in done.stderr


@pytest.mark.parametrize("name", ["identity.seed", "wrapping.key"])
def test_a_missing_key_stops_the_server_and_is_not_replaced(hospital: Hospital, name: str) -> None:
    (hospital.folder / "keys" / name).unlink()
    done = hospital.command("run", "--check", check=False)
    assert done.returncode == 1
    assert name in done.stderr
    assert not (hospital.folder / "keys" / name).exists()


def test_files_are_private(hospital: Hospital) -> None:
    for path in [hospital.folder / "records.db", *(hospital.folder / "keys").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_configuration_error_names_the_line(hospital: Hospital) -> None:
    hospital.config.write_text(hospital.config.read_text() + 'sweet = "rot13"\n')
    done = hospital.command("run", "--check", check=False)
    assert done.returncode == 1
    assert "server.toml, line 14: records.sweet" in done.stderr


def test_a_lost_devices_frames_are_refused_within_their_record(hospital: Hospital) -> None:
    """The record is acknowledged, the stream goes on, and what came since the loss is held back."""
    signer = hospital.gateway("ward-1")
    hospital.command("patient", "add", "p-1", "--device", "1")
    with hospital.running() as address, connected(address, hospital.identity("ward-1")) as stub:
        session = SessionSealer(bundle(stub, hospital), "ward-1", signer, time.time())
        other = OpenedFrame(device=2, boot=1, seq=0, type=1, received_at_us=int(time.time() * 1e6))
        before = [Sealed(session=session.header), Sealed(record=session.seal(frames(2)))]
        assert deliver(stub, before) == [(Ack.COMMITTED, "")]
        hospital.command("device", "lost", "1", "--since", "2026-01-01", "--why", "left in a taxi")
        parts = [Sealed(session=session.header), Sealed(record=session.seal([*frames(3, boot=2), other]))]
        assert deliver(stub, parts) == [(Ack.COMMITTED, "")]
        found = status(hospital)
        assert (found["stored"], found["quarantined"], found["refused"]) == (3, 2, {"lost device": 3})
        (loss,) = json.loads(hospital.command("quarantine", "list", "--json").stdout)
        assert (loss["device"], loss["until"], loss["held"], loss["why"]) == (1, None, 2, "left in a taxi")
        hospital.command("device", "found", "1")
        assert deliver(stub, [parts[0], Sealed(record=session.seal(frames(1, boot=3)))]) == [
            (Ack.COMMITTED, "")
        ]
    late = hospital.command("quarantine", "release", loss["name"], "--why", "it was at home", check=False)
    assert late.returncode != 0, "it was found since the list"
    (loss,) = json.loads(hospital.command("quarantine", "list", "--json").stdout)
    assert hospital.command("quarantine", "release", loss["name"], "--why", "it was at home").stdout == (
        "2 readings released\n"
    )
    assert "released by" in hospital.command("quarantine", "list").stdout
    assert (status(hospital)["stored"], status(hospital)["quarantined"]) == (4, 0)
