"""The gRPC service: bytes of calls in, messages out, each refusal counted and logged under its reason.

Requests reach us as raw bytes and are parsed here: a truncated message is refused like everything else.
What is logged are names, sizes and times; there are no values here that could be.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from pericard_cloud.errors import BrokenSequence, MalformedMessage, NoSuchKey, UnboundedCall
from pericard_cloud.statistics.counts import CloudCounts
from pericard_cloud.statistics.jobs import Job
from pericard_cloud.statistics.keys import KeyStore
from pericard_edge.confined import WorkerFailed
from pericard_edge.jsonlog import fields
from pericard_protocol.channel import peer_name
from pericard_protocol.errors import PeerError
from pericard_protocol.fhe.objects import MisshapenObject, relinearisation_key_bytes
from pericard_protocol.fhe.parameters import parameter_set
from pericard_protocol.proto import statistics_pb2 as messages

M = TypeVar("M", bound=Message)
log = logging.getLogger("pericard.cloud")

SERVICE = messages.DESCRIPTOR.services_by_name["BlindStatistics"].full_name


class BlindStatistics:
    """The service's two methods."""

    def __init__(self, workers: Executor, keys: KeyStore, counts: CloudCounts, call_seconds: float) -> None:
        self._workers = workers
        self._keys = keys
        self._counts = counts
        self._call_seconds = call_seconds

    def handler(self) -> grpc.GenericRpcHandler:
        """What `grpc.server` takes."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "PutKey": grpc.stream_unary_rpc_method_handler(
                    self._put_key, response_serializer=messages.KeyReceipt.SerializeToString
                ),
                "Compute": grpc.stream_stream_rpc_method_handler(
                    self._compute, response_serializer=messages.JobEvent.SerializeToString
                ),
            },
        )

    def _put_key(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> messages.KeyReceipt:
        try:
            self._check_deadline(context)
            parts = (_parse(messages.KeyPart, data) for data in requests)
            first = next(parts, messages.KeyPart())
            if first.WhichOneof("part") != "description":
                raise BrokenSequence("a key begins with its description")
            parameters = parameter_set(first.description.parameters)
            key = bytearray()
            for part in parts:
                if part.WhichOneof("part") != "data":
                    raise BrokenSequence("after the key's description come its bytes")
                key += part.data
                if len(key) > relinearisation_key_bytes(parameters):
                    raise MisshapenObject("the key is longer than its parameters make it")
            owner = peer_name(context)
            fingerprint = self._keys.put(owner, parameters, bytes(key))
        except (PeerError, grpc.RpcError) as error:
            self._refuse(context, error)
        self._counts.keep_key()
        log.info("key kept", extra=fields(client=owner, key=fingerprint.hex()))
        return messages.KeyReceipt(fingerprint=fingerprint)

    def _compute(
        self, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[messages.JobEvent]:
        try:
            self._check_deadline(context)
            parts = (_parse(messages.JobPart, data) for data in requests)
            first = next(parts, messages.JobPart())
            if first.WhichOneof("part") != "job":
                raise BrokenSequence("a job begins with its description")
            owner = peer_name(context)
            job = Job(owner, first.job, self._keys)
            event = messages.JobEvent()
            for event in job.run(map(_ciphertext, parts), self._workers):
                yield event
        except (PeerError, WorkerFailed, grpc.RpcError) as error:
            self._refuse(context, error)
        spent = event.result.compute_ms
        self._counts.finish_job(job.ciphertexts, spent)
        log.info(
            "job done",
            extra=fields(client=owner, job=job.id, ciphertexts=job.ciphertexts, compute_ms=round(spent, 1)),
        )

    def _check_deadline(self, context: grpc.ServicerContext) -> None:
        """A call ends by itself: without this, a client that stalls would hold its place for ever."""
        left = context.time_remaining()
        if left is None or left > self._call_seconds:
            raise UnboundedCall(f"a call needs a deadline of at most {self._call_seconds:g} seconds: set one")

    def _refuse(self, context: grpc.ServicerContext, error: Exception) -> NoReturn:
        """Counts and ends the call with its reason; a client that left gets only the count.

        gRPC tells of one that left by an error, or by the plain end of its stream: that is then too short.
        """
        if isinstance(error, NoSuchKey):
            code, reason = grpc.StatusCode.FAILED_PRECONDITION, error.reason
        elif isinstance(error, PeerError):
            code, reason = grpc.StatusCode.INVALID_ARGUMENT, error.reason
        elif isinstance(error, WorkerFailed):
            code, reason = grpc.StatusCode.ABORTED, "worker"
        else:
            code, reason = grpc.StatusCode.CANCELLED, "cancelled"
        text = str(error) or "the call ended early"
        self._counts.refuse(reason, text)
        context.abort(code, text)
        raise AssertionError("abort raises")


def _ciphertext(part: messages.JobPart) -> bytes:
    if part.WhichOneof("part") != "ciphertext":
        raise BrokenSequence("after the job's description come its ciphertexts")
    return part.ciphertext


def _parse(kind: type[M], data: bytes) -> M:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise MalformedMessage(
            f"{len(data)} bytes that are no {kind.__name__}: cut short or not ours"
        ) from None
