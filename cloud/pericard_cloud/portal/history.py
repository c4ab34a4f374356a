"""A user's jobs: made, found, cancelled, deleted. Who computes them is `queue.py`."""

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from pericard_cloud.portal import quotas
from pericard_cloud.portal.catalogue import Entry
from pericard_cloud.portal.config import PortalSettings
from pericard_cloud.portal.errors import NotYours, QueueFull, TooManyRows, WrongState
from pericard_cloud.portal.models import EvaluationKeys, PortalJob, User
from pericard_cloud.portal.store import Store, Upload
from pericard_protocol.prediction import manifest, objects

WAITING = (PortalJob.State.QUEUED, PortalJob.State.RUNNING)


class History:
    """The jobs of all users, each user's only for that user."""

    def __init__(self, portal: PortalSettings, store: Store) -> None:
        self._portal, self._store = portal, store

    def of(self, user: User) -> QuerySet[PortalJob]:
        """A user's jobs, the newest first."""
        return user.jobs.select_related("keys")

    def find(self, user: User, job_id: str) -> PortalJob:
        """One of them.

        Raises:
            NotYours: there is none with this id.
        """
        found = self.of(user).filter(pk=job_id).first()
        if found is None:
            raise NotYours(_("You have no such job."))
        return found

    def longest(self, entry: Entry) -> int:
        """The bytes of the largest query that is taken for a model."""
        return min(objects.max_query_bytes(entry.manifest), self._portal.limits.query_mb << 20)

    def check_room(self, user: User) -> None:
        """Whether the user may send another query: asked before it is read, and again when it is stored.

        Raises:
            QueueFull: as many as one may have wait, or are kept.
        """
        limits, jobs = self._portal.limits, user.jobs
        if jobs.filter(state__in=WAITING).count() >= limits.waiting_jobs:
            raise QueueFull(
                _("%(most)d of your jobs wait, as many as one may have: wait for one, or cancel it.")
                % {"most": limits.waiting_jobs}
            )
        if jobs.count() >= limits.kept_jobs:
            raise QueueFull(
                _("You have %(most)d jobs, as many as one may keep: delete some.")
                % {"most": limits.kept_jobs}
            )

    def add(self, user: User, entry: Entry, keys: EvaluationKeys, upload: Upload) -> PortalJob:
        """Takes a query: it is checked, its rows are charged and it waits, or nothing of this happens.

        Raises:
            PeerError: it is no query of this user's for this model, or there is no room or quota for it.
        """
        data = upload.read()
        fingerprint = bytes.fromhex(keys.fingerprint)
        query = objects.parse_query(data, entry.manifest, fingerprint)
        if query.rows > (most := self._portal.limits.rows_per_query):
            raise TooManyRows(_("A query may have %(most)d rows.") % {"most": most})
        objects.check_keys_serve(objects.parse_keys(self._store.read("keys", keys.pk)), entry.manifest)
        query.check()
        with transaction.atomic():
            User.objects.select_for_update().get(pk=user.pk)  # two uploads at once are counted one by one
            self.check_room(user)
            quotas.charge(user, entry.name, query.rows, self._portal.quota.of(entry.name))
            job = PortalJob.objects.create(
                user=user,
                keys=keys,
                model=entry.name,
                digest=entry.manifest.digest,
                columns=query.mode == manifest.COLUMNS,
                rows=query.rows,
                size=upload.size,
            )
            upload.keep("queries", job.pk)
        return job

    def cancel(self, user: User, job_id: str) -> PortalJob:
        """Ends a job that waits or runs; its rows stay charged, for its computation may have begun.

        Raises:
            NotYours: there is none with this id.
            WrongState: it is at its end already.
        """
        job = self.find(user, job_id)
        done = PortalJob.objects.filter(pk=job.pk, state__in=WAITING)
        if not done.update(state=PortalJob.State.CANCELLED, finished=timezone.now(), runner=""):
            raise WrongState(_("This job is at its end already."))
        self._store.delete_job(job.pk)
        job.refresh_from_db()
        return job

    def delete(self, user: User, job_id: str) -> None:
        """Deletes a job with its query and its result; one that runs is ended by that.

        Raises:
            NotYours: there is none with this id.
        """
        job = self.find(user, job_id)
        PortalJob.objects.filter(pk=job.pk).delete()
        self._store.delete_job(job.pk)

    def result(self, user: User, job_id: str) -> bytes:
        """The reply container of a job.

        Raises:
            NotYours: there is no such job, or its result went.
            WrongState: it has none yet, or never.
        """
        job = self.find(user, job_id)
        if job.state != PortalJob.State.DONE:
            raise WrongState(_("This job has no result."))
        if not job.result_kept:
            raise NotYours(_("This result's time is over: it was deleted."))
        try:
            return self._store.read("results", job.pk)
        except OSError:
            raise NotYours(_("This result's time is over: it was deleted.")) from None
