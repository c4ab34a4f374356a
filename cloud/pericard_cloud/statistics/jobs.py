"""A job from its first message to its encrypted results: ciphertexts are checked, sharded, folded, finished.

It knows messages and an executor, but no network: `servicer.py` feeds it.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future

from pericard_cloud.errors import BrokenSequence, MalformedMessage
from pericard_cloud.statistics import moments
from pericard_cloud.statistics.keys import KeyStore
from pericard_protocol.fhe.jobs import JOB_ID_BYTES, MOMENTS_STATISTIC, SUM, SUM_OF_SQUARES
from pericard_protocol.fhe.objects import check_ciphertext
from pericard_protocol.fhe.parameters import parameter_set
from pericard_protocol.proto import statistics_pb2 as messages

# Ciphertexts to a shard: at 0.26 MB and half a millisecond each, 16 keep the cost of handing over small, and
# a job's memory at some 4 MB for every shard in flight.
_SHARD = 16
_SHARDS_IN_FLIGHT = 4


class Job:
    """One job of `owner`'s: its description is checked here, its ciphertexts in `run`."""

    def __init__(self, owner: str, description: messages.Job, keys: KeyStore) -> None:
        """Raises a `PeerError` when the description is not of a job that we do for this owner."""
        self.parameters = parameter_set(description.parameters)
        self.id = description.job_id.hex()
        self.ciphertexts = description.ciphertexts
        if len(description.job_id) != JOB_ID_BYTES:
            raise MalformedMessage(f"the job's id is not {JOB_ID_BYTES} bytes")
        if description.statistic != MOMENTS_STATISTIC:
            raise MalformedMessage(
                f"no such statistic: {description.statistic[:32]!r}; there is {MOMENTS_STATISTIC!r}"
            )
        if not 1 <= self.ciphertexts <= self.parameters.max_packs:
            raise MalformedMessage(
                f"{self.ciphertexts} ciphertexts: a job has 1 to {self.parameters.max_packs}"
            )
        self._key = keys.get(owner, self.parameters, description.key_fingerprint)

    def run(self, ciphertexts: Iterator[bytes], workers: Executor) -> Iterator[messages.JobEvent]:
        """Yields progress after each shard and the result at last.

        Raises:
            PeerError: a ciphertext is misshapen, or there are too few or too many.
            WorkerFailed: a worker did not give an answer.
        """
        pending: deque[Future[tuple[bytes, bytes, bytes]]] = deque()
        partials: list[tuple[bytes, bytes]] = []
        spent_ms = 0.0

        def gather(at_most: int) -> Iterator[messages.JobEvent]:
            nonlocal spent_ms
            while len(pending) > at_most:
                total, squares, took = pending.popleft().result()
                partials.append((total, squares))
                spent_ms += moments.MILLISECONDS.unpack(took)[0]
                done = min(len(partials) * _SHARD, self.ciphertexts)
                yield messages.JobEvent(progress=messages.Progress(done=done, of=self.ciphertexts))

        try:
            for shard in self._shards(ciphertexts):
                pending.append(workers.submit(moments.fold, self.parameters.name, shard))
                yield from gather(_SHARDS_IN_FLIGHT)
            yield from gather(0)
        finally:
            for future in pending:
                future.cancel()
        total, squares, took = workers.submit(
            moments.finish, self.parameters.name, self._key, partials
        ).result()
        yield messages.JobEvent(
            result=messages.JobResult(
                results=[
                    messages.EncryptedResult(name=SUM, ciphertext=total),
                    messages.EncryptedResult(name=SUM_OF_SQUARES, ciphertext=squares),
                ],
                compute_ms=spent_ms + moments.MILLISECONDS.unpack(took)[0],
            )
        )

    def _shards(self, ciphertexts: Iterator[bytes]) -> Iterator[list[bytes]]:
        shard: list[bytes] = []
        seen = 0
        for seen, data in enumerate(ciphertexts, start=1):
            if seen > self.ciphertexts:
                raise BrokenSequence(f"more than the {self.ciphertexts} ciphertexts that the job declared")
            check_ciphertext(data, self.parameters, self.parameters.fresh_primes)
            shard.append(data)
            if len(shard) == _SHARD:
                yield shard
                shard = []
        if seen < self.ciphertexts:
            raise BrokenSequence(f"the stream ended after {seen} of {self.ciphertexts} ciphertexts")
        if shard:
            yield shard
