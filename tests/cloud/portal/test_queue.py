"""Jobs and quotas hold: in parallel, over restarts, after crashes, and when a worker dies."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.parts.blind_client import tree_model
from tests.parts.portal import Portal, finished
from tests.parts.waiting import until

MANY = [[float(row % 10), float(row % 7)] for row in range(60)]
SLOWLY = "[portal.limits]\nworkers = 1\nrows_at_once = 1\nwaiting_jobs = 10\n"


def _used(predictor: Any, model: str = "small") -> int:
    shown = predictor.program.get("/api/v1/account").json["quota"]
    return int(next(one["used"] for one in shown if one["model"] == model))


@pytest.fixture(scope="module")
def stingy(start_portal: Callable[..., Portal]) -> Portal:
    """Ten rows a day by one model, none by the other."""
    return start_portal(
        "[portal.quota]\nrows_per_day = 10\nmodels = { line = 0 }\n[portal.limits]\nwaiting_jobs = 100\n"
    )


@pytest.mark.slow
def test_a_quota_holds_against_requests_in_parallel_and_a_restart(
    stingy: Portal, predictors: Callable[[Portal], Any]
) -> None:
    user = predictors(stingy)
    query = user.blind.query([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]])
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: user.ask(query), range(12)))
    assert sorted(one.status for one in answers) == [202] * 3 + [429] * 9
    refused = [one for one in answers if one.status == 429]
    assert {one.json["reason"] for one in refused} == {"quota"}
    assert int(refused[0].headers["retry-after"]) > 0
    assert _used(user) == 9
    assert len(user.program.get("/api/v1/jobs").json) == 3
    assert stingy.stop() == 0
    stingy.start()
    user.program.parts = stingy.caller().parts
    assert _used(user) == 9
    assert user.ask(query).json["reason"] == "quota"
    assert user.ask(user.blind.query([[1.0, 2.0]])).status == 202
    assert user.ask(user.blind.query([[1.0, 2.0]])).json["reason"] == "quota"
    # What was deleted or cancelled stays charged, and somebody else's rows are their own.
    for job in user.program.get("/api/v1/jobs").json:
        user.program.send("DELETE", f"/api/v1/jobs/{job['id']}")
    assert _used(user) == 10
    assert predictors(stingy).ask(query).status == 202


@pytest.mark.slow
def test_no_more_jobs_wait_than_one_may_have(
    start_portal: Callable[..., Portal], predictors: Callable[[Portal], Any]
) -> None:
    # A worker needs a second to start: nothing ends before the last request came.
    portal = start_portal("[portal.limits]\nwaiting_jobs = 3\nworkers = 1\nrows_at_once = 1\n")
    user = predictors(portal)
    query = user.blind.query(MANY[:20])
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: user.ask(query), range(8)))
    assert sorted(one.status for one in answers) == [202] * 3 + [429] * 5
    assert {one.json["reason"] for one in answers if one.status == 429} == {"queue full"}
    assert _used(user) == 60


@pytest.mark.slow
def test_a_job_goes_on_after_a_crash_and_loses_no_row(
    start_portal: Callable[..., Portal], predictors: Callable[[Portal], Any]
) -> None:
    portal = start_portal(SLOWLY)
    user = predictors(portal)
    first, second = user.asked(MANY), user.asked(MANY[:2])
    until(lambda: user.program.get(f"/api/v1/jobs/{first}").json["progress"] > 0.1)
    portal.kill()
    portal.start()
    user.program.parts = portal.caller().parts
    before = user.program.get(f"/api/v1/jobs/{first}").json
    assert before["state"] == "running"
    assert before["progress"] > 0.1
    assert finished(user.program, second)["state"] == "done"
    assert finished(user.program, first)["state"] == "done"
    reply = user.program.get(f"/api/v1/jobs/{first}/result").body
    assert user.blind.sums(reply) == user.blind.expected(tree_model(), MANY)


@pytest.mark.slow
def test_a_stop_gives_jobs_back(
    start_portal: Callable[..., Portal], predictors: Callable[[Portal], Any]
) -> None:
    portal = start_portal(SLOWLY)
    user = predictors(portal)
    job = user.asked(MANY)
    until(lambda: user.program.get(f"/api/v1/jobs/{job}").json["progress"] > 0.1)
    began = time.monotonic()
    assert portal.stop() == 0
    assert time.monotonic() - began < 12
    portal.start()
    user.program.parts = portal.caller().parts
    assert finished(user.program, job)["state"] == "done"
    reply = user.program.get(f"/api/v1/jobs/{job}/result").body
    assert user.blind.sums(reply) == user.blind.expected(tree_model(), MANY)


@pytest.mark.slow
def test_a_worker_that_dies_fails_one_job_with_a_sentence(
    start_portal: Callable[..., Portal], predictors: Callable[[Portal], Any]
) -> None:
    portal = start_portal(SLOWLY)
    user = predictors(portal)
    dies, lives = user.asked(MANY), user.asked(MANY[:2])
    until(lambda: user.program.get(f"/api/v1/jobs/{dies}").json["progress"] > 0.0)
    (worker,) = portal.workers()
    os.kill(worker, signal.SIGKILL)
    shown = finished(user.program, dies)
    assert shown["state"] == "failed"
    assert shown["error"] == "The computation did not end: the process that did it was stopped."
    assert user.program.get(f"/api/v1/jobs/{dies}/result").json["reason"] == "job state"
    assert finished(user.program, lives)["state"] == "done"
    assert "this" not in user.browser.get("/jobs/").headers


@pytest.mark.slow
def test_a_job_is_cancelled_while_it_runs_and_its_files_go(
    start_portal: Callable[..., Portal], predictors: Callable[[Portal], Any]
) -> None:
    portal = start_portal(SLOWLY)
    user = predictors(portal)
    job, waiting = user.asked(MANY), user.asked(MANY[:2])
    until(lambda: user.program.get(f"/api/v1/jobs/{job}").json["progress"] > 0.0)
    for one in (job, waiting):
        answer = user.program.send("POST", f"/api/v1/jobs/{one}/cancel")
        assert (answer.status, answer.json["state"]) == (200, "cancelled")
        assert user.program.send("POST", f"/api/v1/jobs/{one}/cancel").json["reason"] == "job state"
    last = user.asked(MANY[:1])
    assert finished(user.program, last)["state"] == "done"
    left = {
        path.name
        for kind in ("queries", "results", "partial")
        for path in (portal.folder / "portal" / kind).iterdir()
    }
    assert left == {last}
    assert user.program.send("DELETE", f"/api/v1/jobs/{last}").status == 204
    assert not any((portal.folder / "portal" / "queries").iterdir())
    assert not any((portal.folder / "portal" / "results").iterdir())


@pytest.mark.slow
def test_what_expires_is_deleted(
    start_portal: Callable[..., Portal], predictors: Callable[[Portal], Any]
) -> None:
    portal = start_portal("[portal.limits]\nresult_days = 0.00001\nkey_days = 0.00008\n")  # 0.9 and 7 seconds
    user = predictors(portal)
    job = user.asked(MANY[:1])
    assert finished(user.program, job)["state"] == "done"
    time.sleep(1.0)
    gone = user.program.get(f"/api/v1/jobs/{job}/result")
    assert (gone.status, gone.json["reason"]) == (404, "not there")
    until(lambda: user.program.get("/api/v1/keys").json == [])
    assert user.ask(user.blind.query(MANY[:1])).json["reason"] == "not there"
    # The sweep of a start deletes their files.
    portal.stop()
    portal.start()
    until(
        lambda: (
            not any(
                any((portal.folder / "portal" / kind).iterdir()) for kind in ("keys", "results", "queries")
            )
        )
    )


@pytest.mark.slow
def test_counts_and_health_are_shown_without_names(portal: Portal, predictor: Any) -> None:
    import urllib.request

    job = predictor.asked()
    assert finished(predictor.program, job)["state"] == "done"
    predictor.ask(b"junk")

    def page(path: str) -> str:
        with urllib.request.urlopen(f"http://{portal.pages}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    assert page("/healthz") == '{"ok": true, "troubles": {}}'
    shown = page("/metrics")
    assert 'pericard_portal_refused_total{reason="prediction object"}' in shown
    assert "pericard_portal_jobs_total" in shown
    assert "pericard_portal_rows_total" in shown
    for name in (job, predictor.key, "small"):
        assert name not in shown
