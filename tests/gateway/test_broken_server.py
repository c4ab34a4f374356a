"""A hospital's server that speaks gRPC over good TLS, but wrongly: the gateway stays up and says why."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from pericard_protocol import channel
from pericard_protocol.proto.uplink_pb2 import Ack

from .ward import Hospital, Ward, serving, until

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
def test_what_is_no_answer_is_said_and_survived(
    ward: Ward, hospital: Hospital, authority: Any, bundle: str, ack: bytes, said: str
) -> None:
    good = hospital.GetKeyBundle(None, None).SerializeToString()
    identity = authority.issue("server.test")
    server = grpc.server(
        ThreadPoolExecutor(4),
        handlers=[_Raw(good if bundle == "good" else good[:-10], lambda _: ack)],
        options=channel.server_options(4_000_000),
    )
    port = ward.server_port = server.add_secure_port("127.0.0.1:0", channel.server_credentials(identity))
    server.start()
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    until(lambda: said in ward.log, lambda: ward.log)
    assert ward.status()["acked_frames"] == 0
    server.stop(0).wait()
    with serving(hospital, identity, f"127.0.0.1:{port}"):
        hospital.wait_for(1)
