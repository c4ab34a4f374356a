"""A hospital's server that speaks gRPC over good TLS, but wrongly: the gateway stays up and says why."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from tests.parts.certificates import CertificateAuthority
from tests.parts.ports import lasting_port
from tests.parts.waiting import until
from tests.parts.ward import StandInHospital, Ward, serving

from pericard_gateway.config import ServerSettings
from pericard_gateway.errors import UplinkError
from pericard_gateway.operations.counts import GatewayCounts
from pericard_gateway.uplink.delivery import Delivery
from pericard_protocol import channel
from pericard_protocol.proto.uplink_pb2 import Ack, Sealed

_PREFIX = "/pericard.protocol.uplink.v1.Uplink/"


class _Raw(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers with the very bytes that it is given."""

    def __init__(self, bundle: bytes, ack: Callable[[bytes], bytes]) -> None:
        self._bundle, self._ack = bundle, ack

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        if details.method == _PREFIX + "GetKeyBundle":
            return grpc.unary_unary_rpc_method_handler(lambda *_: self._bundle)
        return grpc.stream_stream_rpc_method_handler(self._acks)

    def _acks(self, parts: Iterator[bytes], context: Any) -> Iterator[bytes]:
        return (self._ack(part) for part in parts)


@pytest.mark.parametrize(
    ("bundle", "ack", "said"),
    [
        ("truncated", b"", "not a key bundle"),
        ("good", b"\x0a\x10truncated", "not a message"),
        ("good", Ack(session_id=b"x" * 16, status=Ack.COMMITTED).SerializeToString(), "was not sent"),
        ("good", b"\0" * 2_000_000, "RESOURCE_EXHAUSTED"),
    ],
)
@pytest.mark.slow
def test_what_is_no_answer_is_said_and_survived(
    ward: Ward, hospital: StandInHospital, authority: CertificateAuthority, bundle: str, ack: bytes, said: str
) -> None:
    good = hospital.GetKeyBundle(None, None).SerializeToString()
    identity = authority.issue("server.test")
    server = grpc.server(
        ThreadPoolExecutor(4),
        handlers=[_Raw(good if bundle == "good" else good[:-10], lambda _: ack)],
        options=channel.server_options(4_000_000),
    )
    port = ward.server_port = lasting_port()
    server.add_secure_port(f"127.0.0.1:{port}", channel.server_credentials(identity))
    server.start()
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    until(lambda: said in ward.log, lambda: ward.log)
    assert ward.status()["acked_frames"] == 0
    server.stop(0).wait()
    with serving(hospital, identity, f"127.0.0.1:{port}"):
        hospital.wait_for(1)


def test_a_write_after_the_calls_end_is_the_links_trouble_not_the_gateways(
    authority: CertificateAuthority,
) -> None:
    """The call may end between any two writes; grpcio then raises what is no gRPC error."""
    server = grpc.server(
        ThreadPoolExecutor(1),
        handlers=[_Raw(b"", lambda _: b"")],
        options=channel.server_options(4_000_000),
    )
    port = server.add_secure_port("127.0.0.1:0", channel.server_credentials(authority.issue("server.test")))
    server.start()
    target = ServerSettings(address=f"127.0.0.1:{port}", name="server.test")
    nothing: Any = None
    delivery = Delivery(target, nothing, nothing, asyncio.Event(), lambda: None, GatewayCounts())

    async def write_late() -> None:
        credentials = channel.channel_credentials(authority.issue("ward-1"))
        options = channel.channel_options(4_000_000, target.name)
        async with grpc.aio.secure_channel(target.address, credentials, options=options) as connection:
            stream = connection.stream_stream(_PREFIX + "Ingest", Sealed.SerializeToString)()
            await stream.done_writing()
            await stream.code()  # over
            await delivery._write(stream, Sealed())

    with pytest.raises(UplinkError, match="ended the stream"):
        asyncio.run(write_late())
    server.stop(0).wait()
