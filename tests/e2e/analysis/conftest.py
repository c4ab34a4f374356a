"""The hospital's side of a blind analysis, and a lying cloud between it and the real one."""

from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from tests.parts.certificates import CertificateAuthority
from tests.parts.cloud import CloudProcess

from pericard_edge.confined import ConfinedExecutor, Limits
from pericard_protocol import channel
from pericard_protocol.proto import statistics_pb2 as messages
from pericard_server.analysis import encryption
from pericard_server.analysis.cloud_link import CloudLink
from pericard_server.custody.fhe import FheKeys

SERVICE = "/pericard.protocol.statistics.v1.BlindStatistics/"


class LyingCloud(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Forwards every message to a real cloud, keeps what passes, and lets `lie` replace a job's result."""

    def __init__(self, honest: grpc.Channel) -> None:
        self._honest = honest
        self.seen: list[bytes] = []
        self.calls: list[str] = []
        self.lie: Callable[[Any], Any] = lambda result: result

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        self.calls.append(details.method)
        if details.method == SERVICE + "PutKey":
            return grpc.stream_unary_rpc_method_handler(self._put_key)
        return grpc.stream_stream_rpc_method_handler(self._compute)

    def _requests(self, requests: Iterator[bytes]) -> Iterator[bytes]:
        for request in requests:
            self.seen.append(request)
            yield request

    def _put_key(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        parts = list(self._requests(requests))
        answer: bytes = self._honest.stream_unary(SERVICE + "PutKey")(iter(parts), timeout=60)
        self.seen.append(answer)
        return answer

    def _compute(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        parts = list(self._requests(requests))
        for data in self._honest.stream_stream(SERVICE + "Compute")(iter(parts), timeout=60):
            self.seen.append(data)
            event = messages.JobEvent.FromString(data)
            if event.WhichOneof("event") == "result":
                event.result.CopyFrom(self.lie(event.result))
            yield event.SerializeToString()


@pytest.fixture(scope="package")
def executor() -> Iterator[ConfinedExecutor]:
    with ConfinedExecutor(1, Limits()) as one:
        yield one


@pytest.fixture(scope="package")
def fhe_keys(executor: ConfinedExecutor) -> FheKeys:
    return encryption.new_keys(executor)


@pytest.fixture
def link(cloud: CloudProcess, authority: CertificateAuthority) -> Iterator[CloudLink]:
    with CloudLink(cloud.address, authority.issue("hospital.test"), "cloud.test", timeout=60) as one:
        yield one


@pytest.fixture
def liar(cloud: CloudProcess, authority: CertificateAuthority) -> Iterator[tuple[LyingCloud, CloudLink]]:
    """A lying cloud, and a hospital's link to it; the real cloud is behind."""
    options = channel.channel_options(1 << 20, "cloud.test")
    identity = authority.issue("hospital.test")
    with grpc.secure_channel(cloud.address, channel.channel_credentials(identity), options=options) as honest:
        lying = LyingCloud(honest)
        server = grpc.server(
            futures.ThreadPoolExecutor(2), handlers=[lying], options=channel.server_options(1 << 20)
        )
        port = server.add_secure_port(
            "127.0.0.1:0", channel.server_credentials(authority.issue("cloud.test"))
        )
        server.start()
        with CloudLink(f"127.0.0.1:{port}", identity, "cloud.test", timeout=60) as link:
            yield lying, link
        server.stop(0).wait()
