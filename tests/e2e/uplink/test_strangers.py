"""Strangers at the hospital's two ports: they get nowhere, and an honest gateway goes on being served."""

import contextlib
import secrets
import socket
import ssl
import struct
from pathlib import Path

import grpc
import psutil
import pytest
from tests.parts.certificates import CertificateAuthority
from tests.parts.hospital_process import HospitalProcess
from tests.parts.waiting import until
from tests.parts.ward import Ward

from pericard_protocol import channel
from pericard_protocol.proto.uplink_pb2 import EnrolRequest, KeyBundleRequest, Sealed, SealedRecord
from pericard_protocol.proto.uplink_pb2_grpc import EnrolmentStub, UplinkStub
from pericard_protocol.uplink.session import MAX_RECORD_BYTES

pytestmark = pytest.mark.slow

CONNECTIONS = 100


def _rss(hospital: HospitalProcess) -> int:
    assert hospital.process is not None
    size: int = psutil.Process(hospital.process.pid).memory_info().rss
    return size


def _serves(ward: Ward) -> None:
    before = ward.status()["acked_frames"]
    ward.lines[0].write(ward.devices[0].packet())
    until(lambda: ward.status()["acked_frames"] == before + 1)


def _send(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as one:
        try:
            one.sendall(data)
            while one.recv(4096):
                pass
        except ConnectionError:
            pass


def test_wrong_protocols_and_slow_talkers_cost_little(hospital: HospitalProcess, ward: Ward) -> None:
    hospital.start()
    ward.start()
    _serves(ward)
    before = _rss(hospital)
    client_hello = b"\x16\x03\x01" + struct.pack(">H", 0x4000)  # promises 16 KB and sends nothing more
    waiting = []
    for port in (hospital.port, hospital.enrolment):
        for junk in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            secrets.token_bytes(1 << 20),
            b"\0",
            b"PRI * HTTP/2.0\r\n",
        ):
            _send(port, junk)
        for _ in range(CONNECTIONS):
            one = socket.create_connection(("127.0.0.1", port), timeout=30)
            one.sendall(client_hello)
            waiting.append(one)
    _serves(ward)
    for one in waiting:
        with contextlib.suppress(ConnectionError):
            assert one.recv(1) == b""  # the handshake's deadline has passed: closed by the server
        one.close()
    _serves(ward)
    assert _rss(hospital) - before < 64 << 20


def test_tls_without_our_certificate_gets_no_call_through(
    hospital: HospitalProcess,
    ward: Ward,
    authority: CertificateAuthority,
    other_authority: CertificateAuthority,
) -> None:
    hospital.start()
    ward.start()
    trusted = ward.folder / "ca.pem"
    context = ssl.create_default_context(cafile=str(trusted))
    context.set_alpn_protocols(["h2"])
    with (
        contextlib.suppress(ssl.SSLError, ConnectionError),
        socket.create_connection(("127.0.0.1", hospital.port), timeout=60) as raw,
        context.wrap_socket(raw, server_hostname="server.test") as one,
    ):
        one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert one.recv(100) == b""
    stranger = other_authority.issue("ward-1")
    forged = channel.Identity(stranger.certificate, stranger.private_key, trusted.read_bytes())
    assert _code(hospital, forged) == grpc.StatusCode.UNAVAILABLE
    unknown = authority.issue("ward-9")  # certified, and registered nowhere
    assert _code(hospital, unknown) == grpc.StatusCode.PERMISSION_DENIED
    _serves(ward)
    assert "unknown gateway" in hospital.command("status")


def _code(hospital: HospitalProcess, identity: channel.Identity) -> grpc.StatusCode:
    credentials, options = (
        channel.channel_credentials(identity),
        channel.channel_options(1 << 20, "server.test"),
    )
    with grpc.secure_channel(f"127.0.0.1:{hospital.port}", credentials, options=options) as one:
        with pytest.raises(grpc.RpcError) as caught:
            UplinkStub(one).GetKeyBundle(KeyBundleRequest(), timeout=60)
        code: grpc.StatusCode = caught.value.code()
        return code


def test_oversized_messages_are_refused(hospital: HospitalProcess, ward: Ward) -> None:
    hospital.start()
    ward.start()
    _serves(ward)
    before = _rss(hospital)
    options = channel.channel_options(64 << 20, "server.test")
    huge = Sealed(record=SealedRecord(session_id=bytes(16), ciphertext=bytes(MAX_RECORD_BYTES * 20)))
    address = f"127.0.0.1:{hospital.port}"
    with grpc.secure_channel(address, channel.channel_credentials(ward.tls), options=options) as one:
        for _ in range(5):
            with pytest.raises(grpc.RpcError) as caught:
                list(UplinkStub(one).Ingest(iter([huge]), timeout=60))
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    credentials = grpc.ssl_channel_credentials((Path(ward.folder) / "ca.pem").read_bytes())
    with grpc.secure_channel(f"127.0.0.1:{hospital.enrolment}", credentials, options=options) as one:
        for size, code in (
            (64, grpc.StatusCode.PERMISSION_DENIED),
            (10 << 20, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                EnrolmentStub(one).Enrol(EnrolRequest(token=bytes(size)), timeout=60)
            assert caught.value.code() == code
    _serves(ward)
    assert _rss(hospital) - before < 64 << 20
    assert "enrolment" in hospital.command("status")
