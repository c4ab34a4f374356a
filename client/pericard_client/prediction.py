"""One prediction from features to answers over the portal: keys, encrypted query, job, reply.

The portal gets the public keys and ciphertexts; it learns how many rows there are, and nothing about them.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from pericard_client import seal
from pericard_client.errors import PortalRefused
from pericard_client.portal import JobStatus, Portal
from pericard_client.seal import SecretKey
from pericard_protocol.errors import PericardError
from pericard_protocol.prediction import geometry, objects
from pericard_protocol.prediction.geometry import Answer, Counts
from pericard_protocol.prediction.manifest import COLUMNS, ROWS, Manifest
from pericard_protocol.prediction.objects import MAX_ROWS

Progress = Callable[[str, float], None]  # a stage, and how much of it is done, 0 to 1
_POLL_SECONDS = (0.05, 2.0)  # at first, and at most
_UNDER_WAY = ("queued", "running")


def best_mode(manifest: Manifest, rows: int) -> int:
    """The mode in which fewer bytes travel."""
    if not manifest.columns:
        return ROWS
    sizes = {
        mode: objects.query_bytes(manifest, mode, rows) + objects.reply_bytes(manifest, mode, rows)
        for mode in (ROWS, COLUMNS)
    }
    return min(sizes, key=sizes.__getitem__)


def answers(sums: Counts, manifest: Manifest) -> list[Answer]:
    """The answer to each row of sums."""
    return [geometry.answer(row, manifest) for row in sums]


def predict(
    portal: Portal, manifest: Manifest, secret: SecretKey, public: bytes, in_bins: Counts, progress: Progress
) -> list[Answer]:
    """The model's answers, one a row.

    Args:
        portal: with the user's token.
        manifest: the model's.
        secret: the user's key.
        public: its public keys, uploaded where the portal does not have them; empty: the portal must.
        in_bins: int64[rows, F].
        progress: told of every step.

    Raises:
        PericardError: any step failed; a job that was begun is cancelled.
    """
    keys_id = _keys_there(portal, secret, public)
    found: list[Answer] = []
    for start in range(0, len(in_bins), MAX_ROWS):
        found += _one_job(portal, manifest, secret, keys_id, in_bins[start : start + MAX_ROWS], progress)
    return found


def predict_once(portal: Portal, manifest: Manifest, in_bins: Counts, progress: Progress) -> list[Answer]:
    """As `predict`, under keys that exist for this call alone and are deleted at the portal afterwards."""
    secret, public = seal.make_keys(manifest.parameter_set, manifest.steps)
    keys_id = portal.add_keys(public).id
    try:
        return predict(portal, manifest, secret, b"", in_bins, progress)
    finally:
        with suppress(PericardError):  # they expire there by themselves
            portal.delete_keys(keys_id)


def _keys_there(portal: Portal, secret: SecretKey, public: bytes) -> str:
    wanted = secret.fingerprint.hex()
    for one in portal.uploaded_keys():
        if one.fingerprint == wanted:
            return one.id
    if not public:
        raise PortalRefused("the portal does not have this key's public part any more: make a new key")
    return portal.add_keys(public).id


def _one_job(
    portal: Portal, manifest: Manifest, secret: SecretKey, keys_id: str, in_bins: Counts, progress: Progress
) -> list[Answer]:
    rows = len(in_bins)
    mode = best_mode(manifest, rows)
    progress("encrypting", 0)
    query = seal.encrypt(secret, manifest, in_bins, mode)
    progress("sending", 0)
    job = portal.add_job(manifest.name, keys_id, query)
    try:
        job = _finished(portal, job, progress)
        reply = portal.result(job.id, objects.reply_bytes(manifest, mode, rows))
    except BaseException:
        with suppress(PericardError):
            portal.cancel(job.id)
        raise
    progress("decrypting", 1)
    found = answers(seal.open_reply(secret, manifest, reply).sums, manifest)
    with suppress(PericardError):  # it is deleted there after some time anyway
        portal.delete_job(job.id)
    return found


def _finished(portal: Portal, job: JobStatus, progress: Progress) -> JobStatus:
    wait, most = _POLL_SECONDS
    while job.state in _UNDER_WAY:
        progress("waiting" if job.state == "queued" else "computing", float(np.clip(job.progress, 0, 1)))
        time.sleep(wait)
        wait = min(wait * 1.5, most)
        job = portal.job(job.id)
    if job.state != "done":
        raise PortalRefused(f"the job {job.state}: {job.error or 'the portal does not say why'}")
    progress("computing", 1)
    return job
