"""The hospital's end of the channel to the cloud: keys and ciphertexts out, encrypted results in.

Nothing that depends on a decryption passes here: a job is over for the cloud before its result is decrypted.
"""

import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn, Self

import grpc

from pericard_protocol import channel
from pericard_protocol.fhe.jobs import (
    JOB_ID_BYTES,
    KEY_CHUNK_BYTES,
    MAX_MESSAGE_BYTES,
    MOMENTS_STATISTIC,
    RESULTS,
)
from pericard_protocol.proto import statistics_pb2 as messages
from pericard_protocol.proto import statistics_pb2_grpc as stubs
from pericard_server.analysis.errors import CloudMisbehaved, CloudUnavailable, KeyNotAtCloud
from pericard_server.custody.fhe import FheKeys


@dataclass(frozen=True)
class EncryptedSums:
    """One job's results, encrypted: slot-wise sums of z and of z^2 (see `packing`); and what the job cost."""

    total: bytes
    squares: bytes
    bytes_up: int
    bytes_down: int
    compute_ms: float


class CloudLink:
    """A channel to one cloud, by mutual TLS."""

    def __init__(
        self, address: str, identity: channel.Identity, server_name: str | None = None, timeout: float = 300.0
    ) -> None:
        """`server_name` is the DNS name in the cloud's certificate, if not the address's host.

        `timeout` is for one call, in seconds.
        """
        self._channel = grpc.secure_channel(
            address,
            channel.channel_credentials(identity),
            options=channel.channel_options(MAX_MESSAGE_BYTES, server_name),
        )
        self._stub = stubs.BlindStatisticsStub(self._channel)
        self._timeout = timeout
        self.address = address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the channel."""
        self._channel.close()

    def put_key(self, keys: FheKeys) -> int:
        """Sends the evaluation key; returns its bytes.

        Raises:
            CloudMisbehaved: it was refused, or the receipt is for other bytes.
            CloudUnavailable: no answer.
        """
        key = keys.relinearisation

        def parts() -> Iterator[messages.KeyPart]:
            yield messages.KeyPart(description=messages.KeyDescription(parameters=keys.parameters.name))
            for start in range(0, len(key), KEY_CHUNK_BYTES):
                yield messages.KeyPart(data=key[start : start + KEY_CHUNK_BYTES])

        try:
            receipt = self._stub.PutKey(parts(), timeout=self._timeout)
        except grpc.RpcError as error:
            _raise_ours(error)
        if receipt.fingerprint != keys.fingerprint:
            raise CloudMisbehaved(
                "the cloud's receipt is for another key than we sent: do not use this cloud"
            )
        return len(key)

    def compute(self, keys: FheKeys, ciphertexts: Sequence[bytes]) -> EncryptedSums:
        """Has one job computed.

        Raises:
            KeyNotAtCloud: the evaluation key must be sent (again) first.
            CloudMisbehaved: the job was refused, or its answer is not of the protocol.
            CloudUnavailable: no answer.
        """
        job = messages.Job(
            job_id=secrets.token_bytes(JOB_ID_BYTES),
            parameters=keys.parameters.name,
            key_fingerprint=keys.fingerprint,
            statistic=MOMENTS_STATISTIC,
            ciphertexts=len(ciphertexts),
        )
        sent = received = 0

        def parts() -> Iterator[messages.JobPart]:
            nonlocal sent
            for part in (
                messages.JobPart(job=job),
                *(messages.JobPart(ciphertext=data) for data in ciphertexts),
            ):
                sent += part.ByteSize()
                yield part

        result = None
        call = self._stub.Compute(parts(), timeout=self._timeout)
        try:
            # One event for a ciphertext and one for the result is more than an honest cloud sends.
            for _, event in zip(range(len(ciphertexts) + 1), call, strict=False):
                received += event.ByteSize()
                if event.WhichOneof("event") == "result":
                    result = event.result
        except grpc.RpcError as error:
            _raise_ours(error)
        finally:
            call.cancel()
        if (
            result is None
            or tuple(part.name for part in result.results) != RESULTS
            or not 0 <= result.compute_ms < math.inf
        ):
            raise CloudMisbehaved("the cloud's answer has not the results that were asked for")
        total, squares = (part.ciphertext for part in result.results)
        return EncryptedSums(total, squares, sent, received, result.compute_ms)


def _raise_ours(error: grpc.RpcError) -> NoReturn:
    code = error.code()
    details = repr(error.details())[:300]  # the cloud's words: quoted, so that they cannot steer a terminal
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        raise CloudUnavailable(f"the cloud does not answer ({details}): check address and certificates")
    if code == grpc.StatusCode.FAILED_PRECONDITION:
        raise KeyNotAtCloud(f"the cloud says: {details}")
    raise CloudMisbehaved(f"the cloud refused ({code.name}): {details}")
