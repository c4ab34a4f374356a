"""Two users never see each other's anything: every address and every operation is tried by the wrong one.

The addresses come from the site itself. One without an entry here fails a test: whoever adds a page
says who may see it.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.parts.portal import Answer, Caller, Portal, finished

pytestmark = pytest.mark.slow  # a portal is served; its passwords are costly by design

# Of pages: who may, in a word, and for what is a user's own how to ask for it.
ANYBODY, LOGGED_IN, OWN = "anybody", "logged in", "own"
PAGES = {
    "": ANYBODY,
    "register/": ANYBODY,
    "login/": ANYBODY,
    "logout/": ANYBODY,
    "account/": LOGGED_IN,
    "account/password/": LOGGED_IN,
    "account/tokens/<int:token_id>/delete/": OWN,
    "models/": ANYBODY,
    "models/<slug:name>/": LOGGED_IN,
    "keys/": LOGGED_IN,
    "keys/<id:key_id>/revoke/": OWN,
    "jobs/": LOGGED_IN,
    "jobs/<id:job_id>/cancel/": OWN,
    "jobs/<id:job_id>/delete/": OWN,
    "jobs/<id:job_id>/result/": OWN,
    "jobs/<id:job_id>/query.png": OWN,
    "what-the-server-saw/": LOGGED_IN,
    "what-the-server-saw/<id:job_id>/": OWN,
    "api/": ANYBODY,
    "language/setlang/": ANYBODY,
}
OPERATIONS = {
    "GET /api/v1/models": ANYBODY,
    "GET /api/v1/models/{name}": ANYBODY,
    "POST /api/v1/keys": LOGGED_IN,
    "GET /api/v1/keys": LOGGED_IN,
    "DELETE /api/v1/keys/{key_id}": OWN,
    "POST /api/v1/jobs": LOGGED_IN,
    "GET /api/v1/jobs": LOGGED_IN,
    "GET /api/v1/jobs/{job_id}": OWN,
    "POST /api/v1/jobs/{job_id}/cancel": OWN,
    "DELETE /api/v1/jobs/{job_id}": OWN,
    "GET /api/v1/jobs/{job_id}/result": OWN,
    "GET /api/v1/account": LOGGED_IN,
}
WALK = """
import json
from django.urls import get_resolver
def walk(patterns, before=""):
    for one in patterns:
        at = before + str(one.pattern)
        if hasattr(one, "url_patterns"):
            yield from walk(one.url_patterns, at)
        else:
            yield at
print(json.dumps(list(walk(get_resolver().url_patterns))))
"""


@pytest.fixture(scope="module")
def owner(portal: Portal, predictors: Callable[[Portal], Any]) -> Any:
    """A user who has one of everything."""
    user = predictors(portal)
    user.job = user.asked()
    finished(user.program, user.job)
    user.token = portal.run(
        "from pericard_cloud.portal.models import ApiToken, PortalJob\n"
        f"job = PortalJob.objects.get(pk={user.job!r})\n"
        "print(ApiToken.objects.get(user=job.user).pk)"
    ).strip()
    return user


@pytest.fixture(scope="module")
def other(portal: Portal) -> Caller:
    return portal.registered()


def _filled(owner: Any, address: str) -> str:
    for part, value in {
        "<id:job_id>": owner.job,
        "{job_id}": owner.job,
        "<id:key_id>": owner.key,
        "{key_id}": owner.key,
        "<int:token_id>": owner.token,
        "<slug:name>": "small",
        "{name}": "small",
    }.items():
        address = address.replace(part, value)
    return address


def _ask(caller: Caller, path: str) -> Answer:
    """By GET; where a page takes forms only, by a form with a good token."""
    answer = caller.get(path)
    if answer.status == 405:
        page = "/account/" if caller.get("/account/").status == 200 else "/login/"
        answer = caller.post(path, {}, page)
    return answer


def test_every_address_of_the_site_has_an_entry(portal: Portal) -> None:
    found = set(json.loads(portal.run(WALK)))
    assert {one for one in found if not one.startswith("api/v1/")} == set(PAGES)
    schema = portal.caller().get("/api/v1/openapi.json").json
    shown = {f"{method.upper()} {path}" for path, methods in schema["paths"].items() for method in methods}
    assert shown == set(OPERATIONS)


@pytest.mark.parametrize("address", [one for one, who in PAGES.items() if who != ANYBODY])
def test_a_stranger_is_sent_to_the_login(portal: Portal, owner: Any, address: str) -> None:
    answer = _ask(portal.caller(), "/" + _filled(owner, address))
    assert answer.status == 302
    assert answer.headers["location"].startswith("/login/?next=")


@pytest.mark.parametrize("address", [one for one, who in PAGES.items() if who == OWN])
def test_somebody_elses_is_not_found(owner: Any, other: Caller, address: str) -> None:
    answer = _ask(other, "/" + _filled(owner, address))
    assert answer.status == 404
    assert owner.job not in answer.text
    assert owner.key not in answer.text


@pytest.mark.parametrize("address", [one for one, who in PAGES.items() if who == LOGGED_IN])
def test_a_page_of_ones_own_has_nothing_of_anybody_else(owner: Any, other: Caller, address: str) -> None:
    answer = _ask(other, "/" + _filled(owner, address))
    assert answer.status == 200
    for secret in (owner.job, owner.key, owner.blind.fingerprint.hex()[:16]):
        assert secret not in answer.text


@pytest.mark.parametrize("operation", [one for one, who in OPERATIONS.items() if who != ANYBODY])
def test_the_api_asks_who_calls(portal: Portal, owner: Any, operation: str) -> None:
    method, path = _filled(owner, operation).split()
    for headers in ({}, {"Authorization": "Bearer pct_none"}, {"Authorization": "Bearer "}):
        answer = portal.caller(**headers).send(method, path)
        assert (answer.status, answer.json["reason"]) == (401, "not logged in")


@pytest.mark.parametrize("operation", [one for one, who in OPERATIONS.items() if who == OWN])
@pytest.mark.parametrize("kind", ["token", "session"])
def test_the_api_finds_nothing_of_somebody_elses(
    portal: Portal, owner: Any, other: Caller, operation: str, kind: str
) -> None:
    method, path = _filled(owner, operation).split()
    if kind == "token":
        answer = portal.program(other).send(method, path)
    else:
        from tests.parts.portal import form_token

        token = form_token(other.get("/account/").text)
        answer = other.send(method, path, X_CSRFToken=token, Origin=other.origin)
    assert (answer.status, answer.json["reason"]) == (404, "not there")


def test_another_users_keys_are_none_for_ones_query(portal: Portal, owner: Any, predictors: Any) -> None:
    thief = predictors(portal)
    answer = thief.ask(owner.blind.query([[1.0, 2.0]]), key=owner.key)
    assert (answer.status, answer.json["reason"]) == (404, "not there")
    for path in ("/api/v1/keys", "/api/v1/jobs"):
        shown = thief.program.get(path).text
        assert owner.key not in shown
        assert owner.job not in shown


def test_after_all_this_the_owner_still_has_everything(owner: Any) -> None:
    """The tests above tried to revoke, cancel and delete it."""
    assert [one["id"] for one in owner.program.get("/api/v1/keys").json] == [owner.key]
    assert owner.program.get(f"/api/v1/jobs/{owner.job}/result").status == 200
    assert owner.browser.get(f"/what-the-server-saw/{owner.job}/").status == 200
    assert owner.browser.get(f"/jobs/{owner.job}/query.png").body.startswith(b"\x89PNG")
