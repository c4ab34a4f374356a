"""The queue of jobs, in the database: it survives whatever ends, and several runners may share it.

A runner says every few seconds that it is alive. A job whose runner went silent is taken by another, which
goes on after the last row that was stored.
"""

from datetime import timedelta

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from pericard_cloud.portal.models import PortalJob

BEAT_SECONDS = 2.0
SILENT_SECONDS = 10.0
MOST_STARTS = 3  # a query that ends the whole site is not tried for ever


def claim(runner: str) -> PortalJob | None:
    """The job that waits longest, now this runner's; None when none waits."""
    now = timezone.now()
    free = Q(state=PortalJob.State.QUEUED) | Q(
        state=PortalJob.State.RUNNING, alive__lt=now - timedelta(seconds=SILENT_SECONDS)
    )
    with transaction.atomic():
        waiting = PortalJob.objects.filter(free).order_by("created")
        if connection.features.has_select_for_update_skip_locked:
            waiting = waiting.select_for_update(skip_locked=True)
        # Without it (SQLite) a transaction is the only one that writes, from its beginning.
        job = waiting.first()
        if job is None:
            return None
        job.state, job.runner, job.alive, job.starts = PortalJob.State.RUNNING, runner, now, job.starts + 1
        job.save(update_fields=["state", "runner", "alive", "starts"])
        return job


def beat(runner: str) -> None:
    """Says that the runner is alive, and so are its jobs."""
    PortalJob.objects.filter(runner=runner, state=PortalJob.State.RUNNING).update(alive=timezone.now())


def advance(job: PortalJob, rows_done: int, result_size: int) -> bool:
    """Notes how far a job is; False when it is not this runner's any more: it was cancelled or deleted."""
    job.rows_done, job.result_size = rows_done, result_size
    return _mine(job, rows_done=rows_done, result_size=result_size, alive=timezone.now())


def finish(job: PortalJob, result_size: int, keep: timedelta) -> bool:
    """Notes that a job's result is stored; False as `advance`."""
    now = timezone.now()
    return _mine(
        job,
        state=PortalJob.State.DONE,
        rows_done=F("rows"),
        result_size=result_size,
        finished=now,
        expires=now + keep,
        runner="",
    )


def fail(job: PortalJob, why: PortalJob.Failure, detail: str = "") -> bool:
    """Notes that a job has no result; False as `advance`."""
    return _mine(
        job, state=PortalJob.State.FAILED, error=why, detail=detail[:300], finished=timezone.now(), runner=""
    )


def release(job: PortalJob) -> None:
    """Gives a job back to the queue: its runner ends, which is not the job's fault."""
    _mine(job, state=PortalJob.State.QUEUED, runner="", starts=F("starts") - 1)


def waiting() -> int:
    """How many jobs nobody computes yet."""
    return PortalJob.objects.filter(state=PortalJob.State.QUEUED).count()


def _mine(job: PortalJob, **changes: object) -> bool:
    found = PortalJob.objects.filter(pk=job.pk, runner=job.runner, state=PortalJob.State.RUNNING)
    return found.update(**changes) == 1
