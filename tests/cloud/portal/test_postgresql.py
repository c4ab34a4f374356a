"""The same on PostgreSQL: claims skip what others lock, quotas hold in parallel, answers are the model's."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import pytest
from tests.parts.blind_client import tree_model
from tests.parts.portal import Portal, finished
from tests.parts.postgresql import postgresql_running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("psycopg") is None, reason="psycopg, the extra postgresql, is not installed"
    ),
]
FEATURES = [[1.0, 2.0], [3.0, 5.0], [9.0, 0.0]]
# Twenty waiting jobs, claimed by eight threads at once: each thread until none is left.
CLAIM = """
import json, threading
from datetime import timedelta
from django.db import connections
from django.utils import timezone
from pericard_cloud.portal import queue
from pericard_cloud.portal.models import EvaluationKeys, PortalJob, User
user = User.objects.create(name="claims", password="x")
keys = EvaluationKeys.objects.create(
    user=user, fingerprint="0" * 64, parameters=1, size=1, expires=timezone.now()
)
# They begin as somebody's who is alive, so that none is claimed before all are there.
def job():
    return PortalJob.objects.create(
        user=user, keys=keys, model="m", digest="0" * 64, columns=False, rows=1, size=1,
        state="running", runner="nobody", alive=timezone.now() + timedelta(hours=1),
    )
made = [job().pk for _ in range(20)]
claimed, wall = [], threading.Barrier(8)
def run(name):
    wall.wait()
    while (job := queue.claim(name)) is not None:
        claimed.append(job.pk)
    connections.close_all()
threads = [threading.Thread(target=run, args=(f"r{n}",)) for n in range(8)]
PortalJob.objects.filter(pk__in=made).update(state="queued", runner="")
for one in threads: one.start()
for one in threads: one.join()
PortalJob.objects.filter(user=user).delete()
print(json.dumps([sorted(made), claimed]))
"""


@pytest.fixture
def on_postgresql(start_portal: Callable[..., Portal]) -> Iterator[Portal]:
    with postgresql_running() as url:
        portal = start_portal(
            "[portal.quota]\nrows_per_day = 10\n[portal.limits]\nwaiting_jobs = 100\n", DATABASE_URL=url
        )
        yield portal
        if portal.process.poll() is None:
            portal.stop()


def test_the_whole_way_and_a_quota_in_parallel(
    on_postgresql: Portal, predictors: Callable[[Portal], Any]
) -> None:
    assert not (on_postgresql.folder / "portal" / "portal.db").exists()
    user = predictors(on_postgresql)
    query = user.blind.query(FEATURES)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: user.ask(query), range(8)))
    assert sorted(one.status for one in answers) == [202] * 3 + [429] * 5
    for answer in answers:
        if answer.status == 202:
            assert finished(user.program, answer.json["id"])["state"] == "done"
            reply = user.program.get(f"/api/v1/jobs/{answer.json['id']}/result").body
            assert user.blind.sums(reply) == user.blind.expected(tree_model(), FEATURES)


def test_no_job_is_claimed_twice_and_none_is_left(on_postgresql: Portal) -> None:
    on_postgresql.stop()  # its database is there; nothing else claims now
    made, claimed = json.loads(on_postgresql.run(CLAIM))
    assert sorted(claimed) == made
