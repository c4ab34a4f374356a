"""Computes the queue's jobs in confined workers, some rows at a time; these are stored before the next."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from django.db import DatabaseError, connections
from django.utils import timezone

from pericard_cloud.portal import queue
from pericard_cloud.portal.catalogue import Catalogue, Entry
from pericard_cloud.portal.config import PortalSettings
from pericard_cloud.portal.counts import Counts
from pericard_cloud.portal.errors import NotYours
from pericard_cloud.portal.keyring import EvaluationKeyring
from pericard_cloud.portal.models import PortalJob, new_id
from pericard_cloud.portal.store import Store
from pericard_cloud.prediction.worker import evaluate
from pericard_edge.confined import ConfinedExecutor, WorkerFailed
from pericard_edge.jsonlog import fields
from pericard_protocol.errors import PeerError
from pericard_protocol.prediction import manifest, objects

_log = logging.getLogger("pericard.portal")
_POLL_SECONDS = 0.1
_SWEEP_SECONDS = 60.0
SEEN_BYTES = 64 << 10  # of a query, kept beside its result so that its user can see what we saw


class _Lost(Exception):
    """The job is not ours any more: it was cancelled, deleted, or taken over."""


class Runner:
    """Threads that claim jobs and hand their rows to the workers, until `stop`."""

    def __init__(
        self, portal: PortalSettings, store: Store, workers: ConfinedExecutor, counts: Counts
    ) -> None:
        self._portal, self._store, self._workers, self._counts = portal, store, workers, counts
        self._catalogue = Catalogue(portal.models)
        self._id = new_id()
        self._stopping = threading.Event()
        loops = [*[self._claim_and_compute] * portal.limits.workers, self._beat, self._sweep]
        self._threads = [threading.Thread(target=self._guard, args=(loop,), daemon=True) for loop in loops]

    def start(self) -> None:
        """Begins to take jobs."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Ends within `seconds`; jobs under way go back to the queue and lose no row that was stored."""
        self._stopping.set()
        self._workers.kill()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _guard(self, loop: Callable[[], None]) -> None:
        """Runs a loop again after a failure of the database: nobody would start it anew."""
        while not self._stopping.is_set():
            try:
                loop()
            except DatabaseError as error:
                _log.error("the database fails", extra=fields(why=f"{type(error).__name__}: {error}"))
                self._stopping.wait(1.0)
            finally:
                connections.close_all()

    def _claim_and_compute(self) -> None:
        while not self._stopping.is_set():
            job = queue.claim(self._id)
            if job is None:
                self._stopping.wait(_POLL_SECONDS)
            else:
                self._compute(job)

    def _beat(self) -> None:
        while not self._stopping.wait(queue.BEAT_SECONDS):
            queue.beat(self._id)

    def _sweep(self) -> None:
        limits = self._portal.limits
        keyring = EvaluationKeyring(self._store, limits.keys, limits.key_days)
        while True:
            keyring.end_expired()
            for job in PortalJob.objects.filter(expires__lte=timezone.now(), result_size__gt=0):
                self._store.delete_job(job.pk)
                PortalJob.objects.filter(pk=job.pk).update(result_size=0)
            if self._stopping.wait(_SWEEP_SECONDS):
                return

    def _compute(self, job: PortalJob) -> None:
        began = time.monotonic()
        try:
            if job.starts > queue.MOST_STARTS:
                self._fail(job, PortalJob.Failure.STARTS)
                return
            entry = self._catalogue.find(job.model)
            if entry.manifest.digest != job.digest:
                raise NotYours("it is another version")
            size = self._store_result(job, entry)
            self._counts.finish_job(job.rows, time.monotonic() - began)
            _log.info("job done", extra=fields(job=job.pk, model=job.model, rows=job.rows, bytes=size))
        except NotYours:
            self._fail(job, PortalJob.Failure.MODEL)
        except _Lost:
            self._store.delete("partial", job.pk)
        except WorkerFailed as error:
            if self._stopping.is_set():  # we killed it
                queue.release(job)
            else:
                self._fail(job, PortalJob.Failure.WORKER, str(error))
        except (PeerError, OSError) as error:
            self._fail(job, PortalJob.Failure.FILES, type(error).__name__)

    def _fail(self, job: PortalJob, why: PortalJob.Failure, detail: str = "") -> None:
        queue.fail(job, why, detail)
        self._store.delete("partial", job.pk)
        self._counts.fail_job(why)
        _log.warning("job failed", extra=fields(job=job.pk, model=job.model, why=why, detail=detail))

    def _store_result(self, job: PortalJob, entry: Entry) -> int:
        fingerprint = bytes.fromhex(job.keys.fingerprint)
        for first, parts in self._parts(job, entry, fingerprint):
            end = self._store.append(job.pk, job.result_size, b"".join(parts))
            if not queue.advance(job, first, end):
                raise _Lost
        mode = manifest.COLUMNS if job.columns else manifest.ROWS
        size = entry.manifest.parameter_set.reply_ciphertext_bytes
        stored = self._store.read("partial", job.pk)
        packed = (stored[at : at + size] for at in range(0, job.result_size, size))
        reply = objects.join_reply(entry.manifest, mode, job.rows, fingerprint, packed)
        self._store.write("results", job.pk, reply)
        keep = timedelta(days=self._portal.limits.result_days)
        if not queue.finish(job, len(reply), keep):
            self._store.delete("results", job.pk)
            raise _Lost
        self._store.delete("partial", job.pk)
        self._store.shorten("queries", job.pk, SEEN_BYTES)
        return len(reply)

    def _parts(
        self, job: PortalJob, entry: Entry, fingerprint: bytes
    ) -> Iterator[tuple[int, tuple[bytes, ...]]]:
        """(rows done, ciphertexts of the last of them), from the first row that is not stored yet."""
        try:
            keys = self._store.read("keys", job.keys.pk)
        except FileNotFoundError:
            self._fail(job, PortalJob.Failure.KEYS)
            raise _Lost from None
        data = self._store.read("queries", job.pk)
        folder, model = str(entry.folder), entry.manifest
        if job.columns:  # every ciphertext holds something of all rows
            if not job.rows_done:
                yield job.rows, self._workers.submit(evaluate, folder, keys, data, 0, job.rows).result()
            return
        query = objects.parse_query(data, model, fingerprint)
        step = self._portal.limits.rows_at_once
        for first in range(job.rows_done, job.rows, step):
            rows = range(first, min(first + step, job.rows))
            # Only these rows go through the worker's pipe, not a thousand each time.
            some = objects.join_query(
                model, manifest.ROWS, len(rows), fingerprint, map(query.ciphertext, rows)
            )
            yield rows.stop, self._workers.submit(evaluate, folder, keys, some, 0, len(rows)).result()
