"""Mutual TLS: who is not named by our authority gets no call through, and nothing weaker than we require."""

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.parts.certificates import CertificateAuthority

from pericard_protocol import channel
from pericard_protocol.channel import Admission, ChannelRefused, CredentialError, Identity

MAX_MESSAGE = 4096


class _WhoAmI(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every method with the caller's name."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        if details.method.endswith("Stream"):
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: (channel.peer_name(context).encode() for _ in requests)
            )
        return grpc.unary_unary_rpc_method_handler(lambda _, context: channel.peer_name(context).encode())


@pytest.fixture
def refusals() -> list[ChannelRefused]:
    return []


@pytest.fixture
def port(authority: CertificateAuthority, refusals: list[ChannelRefused]) -> Iterator[int]:
    server = grpc.server(
        futures.ThreadPoolExecutor(2),
        handlers=[_WhoAmI()],
        interceptors=[Admission({"pericard:gateway:ward-3", "gateway.test"}, refusals.append)],
        options=channel.server_options(MAX_MESSAGE),
    )
    bound = server.add_secure_port("127.0.0.1:0", channel.server_credentials(authority.issue("server.test")))
    server.start()
    yield bound
    server.stop(0).wait()


@pytest.fixture
def connect(port: int) -> Iterator[Callable[..., grpc.Channel]]:
    opened: list[grpc.Channel] = []

    def _connect(identity: Identity, server_name: str = "server.test") -> grpc.Channel:
        opened.append(
            grpc.secure_channel(
                f"127.0.0.1:{port}",
                channel.channel_credentials(identity),
                options=channel.channel_options(MAX_MESSAGE, server_name),
            )
        )
        return opened[-1]

    yield _connect
    for one in opened:
        one.close()


def _call(on: grpc.Channel, request: bytes = b"") -> str:
    answer: bytes = on.unary_unary("/t/Unary")(request, timeout=60)
    return answer.decode()


def test_a_named_client_is_known_by_its_uri(connect: Any, authority: CertificateAuthority) -> None:
    on = connect(authority.issue("host.test", "pericard:gateway:ward-3"))
    assert _call(on) == "pericard:gateway:ward-3"
    assert (
        list(on.stream_stream("/t/Stream")(iter([b"", b""]), timeout=60)) == [b"pericard:gateway:ward-3"] * 2
    )


def test_or_by_its_dns_name(connect: Any, authority: CertificateAuthority) -> None:
    assert _call(connect(authority.issue("gateway.test"))) == "gateway.test"


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (("pericard:gateway:ward-4",), "not among the allowed names"),
        (("pericard:gateway:ward-3", "pericard:gateway:ward-4"), "carries 2 names"),
        ((), "carries 0 names"),
    ],
)
@pytest.mark.parametrize("method", ["Unary", "Stream"])
def test_another_name_is_refused_and_counted(
    connect: Any,
    authority: CertificateAuthority,
    refusals: list[ChannelRefused],
    names: tuple[str, ...],
    word: str,
    method: str,
) -> None:
    on = connect(authority.issue(*names))
    with pytest.raises(grpc.RpcError) as caught:
        _call(on) if method == "Unary" else list(on.stream_stream("/t/Stream")(iter([b""]), timeout=60))
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert word in caught.value.details()
    assert [word in str(refusal) for refusal in refusals] == [True]


def test_a_strangers_certificate_ends_the_handshake(
    connect: Any,
    authority: CertificateAuthority,
    other_authority: CertificateAuthority,
    refusals: list[ChannelRefused],
) -> None:
    stranger = replace(
        other_authority.issue("gateway.test"), authorities=authority.issue("x.test").authorities
    )
    with pytest.raises(grpc.RpcError) as caught:
        _call(connect(stranger))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert refusals == []


def test_a_server_of_another_authority_or_name_is_not_believed(
    connect: Any, authority: CertificateAuthority, other_authority: CertificateAuthority
) -> None:
    ours = authority.issue("gateway.test")
    for identity, name in (
        (replace(ours, authorities=other_authority.issue("x.test").authorities), "server.test"),
        (ours, "other.test"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            _call(connect(identity, name))
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_no_certificate_no_call(port: int, authority: CertificateAuthority) -> None:
    credentials = grpc.ssl_channel_credentials(authority.issue("x.test").authorities)
    with (
        grpc.secure_channel(
            f"127.0.0.1:{port}", credentials, options=channel.channel_options(MAX_MESSAGE, "server.test")
        ) as on,
        pytest.raises(grpc.RpcError) as caught,
    ):
        _call(on)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_message_above_the_bound_is_refused(connect: Any, authority: CertificateAuthority) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _call(connect(authority.issue("gateway.test")), b"x" * (MAX_MESSAGE + 1))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


class _Context:
    """What gRPC tells about a connection, as far as `peer_name` reads it."""

    def __init__(self, **proven: bytes) -> None:
        self._proven = {key: [value] for key, value in proven.items()}

    def auth_context(self) -> dict[str, list[bytes]]:
        return self._proven


STRONG = {
    "ssl_tls_version": b"TLSv1.3",
    "ssl_negotiated_key_exchange_group": b"X25519MLKEM768",
    "peer_dns": b"gateway.test",
}


@pytest.mark.parametrize(
    "weaker",
    [
        {"ssl_tls_version": b"TLSv1.2"},
        {"ssl_negotiated_key_exchange_group": b"X25519"},
        {"peer_dns": b"g\xc3\xa4teway.test"},
    ],
)
def test_weaker_tls_is_refused(weaker: dict[str, bytes]) -> None:
    assert channel.peer_name(_Context(**STRONG)) == "gateway.test"
    with pytest.raises(ChannelRefused):
        channel.peer_name(_Context(**STRONG | weaker))


def _http2_call(tls: ssl.SSLSocket) -> None:
    """One gRPC call in bare HTTP/2 (RFC 9113, RFC 7541 literals without indexing), up to its last frame."""
    fields = {
        b":method": b"POST",
        b":scheme": b"https",
        b":path": b"/t/Unary",
        b":authority": b"server.test",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
    }
    block = b"".join(b"\0" + bytes([len(k)]) + k + bytes([len(v)]) + v for k, v in fields.items())

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return (
            struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
        )

    settings, headers, data = 4, 1, 0
    end_headers, end_stream = 4, 1
    tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(settings, 0, 0, b""))
    tls.sendall(frame(headers, end_headers, 1, block) + frame(data, end_stream, 1, b"\0" * 5))
    with tls.makefile("rb") as reader:
        while head := reader.read(9):
            reader.read(int.from_bytes(head[:3]))
            if head[3] in (headers, data) and head[4] & end_stream:
                return
    pytest.fail("the server closed without an answer")


def test_an_older_tls_client_gets_no_answer(
    port: int, authority: CertificateAuthority, tmp_path: Path, refusals: list[ChannelRefused]
) -> None:
    """A real client of another TLS library, held to TLS 1.2, with a good certificate."""
    identity = authority.issue("gateway.test")
    (tmp_path / "ca.pem").write_bytes(identity.authorities)
    (tmp_path / "client.pem").write_bytes(identity.certificate + identity.private_key)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(str(tmp_path / "client.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    with context.wrap_socket(
        socket.create_connection(("127.0.0.1", port), timeout=60), server_hostname="server.test"
    ) as tls:
        assert tls.version() == "TLSv1.2"
        _http2_call(tls)
    assert ["TLSv1.3" in str(refusal) for refusal in refusals] == [True]


@pytest.mark.parametrize("part", ["certificate", "private_key", "authorities"])
def test_a_broken_file_is_named_at_start(authority: CertificateAuthority, part: str) -> None:
    identity = authority.issue("gateway.test")
    with pytest.raises(CredentialError, match=part.replace("_", " ")) as caught:
        replace(identity, **{part: b"not PEM"})
    assert b"PRIVATE" not in str(caught.value).encode()


def test_a_key_of_another_certificate_is_named(authority: CertificateAuthority) -> None:
    with pytest.raises(CredentialError, match="does not belong to the certificate"):
        replace(authority.issue("gateway.test"), private_key=authority.issue("gateway.test").private_key)


def test_an_identity_does_not_show_its_key(authority: CertificateAuthority) -> None:
    assert "PRIVATE" not in repr(authority.issue("gateway.test"))
