"""Mutual TLS for every gRPC link: credentials from PEM bytes, bounds for messages, the peer's proven name.

It opens no socket and no file: callers bind the credentials and options to their own server or channel.

grpcio cannot be told a TLS version or a key-exchange group, but it reports what was negotiated. It offers
X25519MLKEM768 first and both ends are ours, so `Admission` refuses any call that did not come over TLS 1.3
with that hybrid group. Traffic that somebody records today then stays secret even if a quantum computer can
break X25519 later.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from pericard_protocol.errors import PeerError, UsageError

TLS_VERSION = "TLSv1.3"
KEY_EXCHANGE = "X25519MLKEM768"

Options = list[tuple[str, int | str]]

# gRPC keeps at most so many bytes of a call's headers, and waits so long for a handshake, before any code of
# ours knows the peer. The headers of our own calls have less than 1 KB.
_METADATA_BYTES = 8 << 10
_HANDSHAKE_MS = 10_000
# A peer whose machine or network fails does not close its connection: pings show that it is gone, within
# keepalive + timeout. A server tolerates pings twice as frequent as our clients send them, so that it never
# disconnects a client whose ping came a little early.
_KEEPALIVE_MS = 30_000
_KEEPALIVE_TIMEOUT_MS = 10_000
# Bit 0 of the set of algorithms is "identity", no compression. Encrypted bytes do not compress, and a small
# compressed message of a hostile peer could fill the memory when it is decompressed.
_IDENTITY_COMPRESSION_ONLY = 1


class CredentialError(UsageError):
    """A certificate or key that an operator gave cannot be used."""


class ChannelRefused(PeerError):
    """The peer at the other end of a channel may not call: its name or its TLS is not what we require."""

    reason: ClassVar[str] = "peer"


@dataclass(frozen=True)
class Identity:
    """A process's certificate and private key, and the authorities that certify its peers: PEM bytes.

    Raises:
        CredentialError: a part does not parse, or the key is not the certificate's.
    """

    certificate: bytes
    private_key: bytes = field(repr=False)
    authorities: bytes

    def __post_init__(self) -> None:
        # Given a wrong file, gRPC makes a channel that never connects and does not say why. So the files are
        # checked here, when the process starts, and the error names the wrong one.
        certificate = _certificates(self.certificate, "certificate")[0]
        _certificates(self.authorities, "authorities")
        try:
            key = load_pem_private_key(self.private_key, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise CredentialError(
                "the private key is not an unencrypted PEM key: write it as PKCS #8"
            ) from None
        if _spki(key.public_key()) != _spki(certificate.public_key()):
            raise CredentialError(
                "the private key does not belong to the certificate: give the pair made together"
            )


def _certificates(pem: bytes, what: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise CredentialError(f"{what}: not PEM certificates: check the path and the file") from None


def _spki(public_key: Any) -> bytes:
    encoded: bytes = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def server_credentials(identity: Identity) -> grpc.ServerCredentials:
    """TLS that ends the handshake of every client without a certificate of `identity.authorities`."""
    return grpc.ssl_server_credentials(
        [(identity.private_key, identity.certificate)], identity.authorities, require_client_auth=True
    )


def channel_credentials(identity: Identity) -> grpc.ChannelCredentials:
    """TLS that shows our certificate and accepts only servers of `identity.authorities`."""
    return grpc.ssl_channel_credentials(identity.authorities, identity.private_key, identity.certificate)


def server_options(max_message_bytes: int, max_streams: int = 16) -> Options:
    """Options for `grpc.server`: the largest message accepted or sent, calls at once on one connection."""
    return [
        *_common(max_message_bytes),
        ("grpc.max_concurrent_streams", max_streams),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
        ("grpc.so_reuseport", 0),  # else a second server could take the same port, and half of the calls
    ]


def channel_options(max_message_bytes: int, server_name: str | None = None) -> Options:
    """Options for `grpc.secure_channel`.

    `server_name` is the DNS name that the server's certificate must carry when it differs from the host in
    the address; the check of the chain stays as it is.
    """
    pinned: Options = [] if server_name is None else [("grpc.ssl_target_name_override", server_name)]
    # By default gRPC uses a proxy that an environment variable names: our own settings say where to connect.
    return [*_common(max_message_bytes), ("grpc.enable_http_proxy", 0), *pinned]


def _common(max_message_bytes: int) -> Options:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
        ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_COMPRESSION_ONLY),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def peer_name(context: grpc.ServicerContext) -> str:
    """The one name that the client's certificate proves: its URI subject alternative name, else its DNS name.

    Raises:
        ChannelRefused: TLS weaker than we require, or a certificate without exactly one name of the kind.
    """
    proven: dict[str, list[bytes]] = {key: list(values) for key, values in context.auth_context().items()}
    for key, wanted in (
        ("ssl_tls_version", TLS_VERSION),
        ("ssl_negotiated_key_exchange_group", KEY_EXCHANGE),
    ):
        if proven.get(key) != [wanted.encode()]:
            raise ChannelRefused(
                f"the channel is not {TLS_VERSION} with {KEY_EXCHANGE}: update the client's grpcio"
            )
    names = proven.get("peer_uri") or proven.get("peer_dns") or []
    if len(names) != 1:
        raise ChannelRefused(
            f"the client's certificate carries {len(names)} names where exactly one URI or DNS name is needed"
        )
    try:
        return names[0].decode("ascii")
    except UnicodeDecodeError:
        raise ChannelRefused("the client's certificate carries a name that is not ASCII") from None


class Admission(grpc.ServerInterceptor):  # type: ignore[misc]
    """Lets only named clients call any method of a server; the others get PERMISSION_DENIED.

    A servicer behind it may call `peer_name` to learn which client it serves.
    """

    def __init__(self, allowed: Collection[str], refused: Callable[[ChannelRefused], None]) -> None:
        """`refused` is told of every refusal, to count and to log it; it may be called from many threads."""
        self._allowed = frozenset(allowed)
        self._refused = refused

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Wraps the method's behaviour; gRPC calls it once per call."""
        handler = continuation(details)
        if handler is None:
            return None
        kind = f"{_arity(handler.request_streaming)}_{_arity(handler.response_streaming)}"
        behaviour = getattr(handler, kind)

        def admitted(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                name = peer_name(context)
                if name not in self._allowed:
                    raise ChannelRefused(f"client {name!r} is not among the allowed names: add it or stop it")
            except ChannelRefused as error:
                self._refused(error)
                context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
            return behaviour(request, context)

        wrap = getattr(grpc, f"{kind}_rpc_method_handler")
        return wrap(admitted, handler.request_deserializer, handler.response_serializer)


def _arity(streaming: bool) -> str:
    return "stream" if streaming else "unary"
