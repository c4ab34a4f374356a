"""Accounts: who gets in, who stays in, and what a page tells whom."""

import re
import secrets
import sqlite3
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from tests.parts.portal import PASSWORD, Caller, Page, Portal, form_token

from pericard_edge import files
from pericard_web.headers import POLICY, POLICY_WITH_WASM

pytestmark = pytest.mark.slow  # a portal is served; its passwords are costly by design

SESSION = "sessionid"


def _name() -> str:
    return f"user-{secrets.token_hex(4)}"


def _login(browser: Caller, name: str, password: str = PASSWORD, path: str = "/login/") -> Any:
    return browser.post(path, {"username": name, "password": password})


@pytest.fixture(scope="module")
def user(portal: Portal) -> str:
    name = _name()
    portal.registered(name)
    return name


@pytest.mark.parametrize(
    ("name", "password", "told"),
    [
        ("anna", "brief-1", "too short"),
        ("anna", "password1234", "too common"),
        ("anna", "83497239847239", "entirely numeric"),
        ("constantinople", "constantinople1", "too similar"),
        ("an na", PASSWORD, "letters, digits, dots and dashes"),
        ("<script>", PASSWORD, "letters, digits, dots and dashes"),
        ("a" * 65, PASSWORD, "at most 64"),
        ("anna", "x" * 300, "too long|at most 256"),
    ],
)
def test_a_registration_that_is_refused(portal: Portal, name: str, password: str, told: str) -> None:
    browser = portal.caller()
    answer = browser.post("/register/", {"name": name, "password1": password, "password2": password})
    assert answer.status == 200
    assert re.search(told, answer.text)
    assert password not in answer.text
    assert SESSION not in browser.cookies


def test_a_name_is_taken_whatever_its_case(portal: Portal, user: str) -> None:
    browser = portal.caller()
    fields = {"name": user.upper(), "password1": PASSWORD, "password2": PASSWORD}
    answer = browser.post("/register/", fields)
    assert answer.status == 200
    assert "taken" in answer.text
    assert _login(portal.caller(), user.upper()).status == 302


def test_a_session_that_somebody_planted_is_not_the_one_that_is_logged_in(portal: Portal, user: str) -> None:
    planted = portal.registered().cookies[SESSION]  # a session that the attacker knows
    browser = portal.caller()
    browser.cookies[SESSION] = "planted"
    assert _login(browser, user).status == 302
    assert browser.cookies[SESSION] not in ("planted", planted)
    attacker = portal.caller()
    attacker.cookies[SESSION] = "planted"
    assert attacker.get("/account/").status == 302


def test_logout_ends_the_session_on_the_server(portal: Portal, user: str) -> None:
    browser = portal.caller()
    _login(browser, user)
    stolen = browser.cookies[SESSION]
    assert browser.get("/logout/").status == 405
    answer = browser.post("/logout/", {}, "/account/")
    assert answer.status == 302
    # The user's keys lie in the browser's storage: that one is not to be cleared.
    assert answer.headers["clear-site-data"] == '"cache"'
    thief = portal.caller()
    thief.cookies[SESSION] = stolen
    assert thief.get("/account/").status == 302


def test_a_new_password_ends_other_sessions(portal: Portal) -> None:
    name = _name()
    first, second = portal.registered(name), portal.caller()
    _login(second, name)
    new = "another long passphrase"
    fields = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    wrong = first.post("/account/password/", fields | {"old_password": "wrong"})
    assert wrong.status == 200
    assert first.post("/account/password/", fields).status == 302
    assert first.get("/account/").status == 200
    assert second.get("/account/").status == 302
    assert _login(portal.caller(), name).status == 200
    assert _login(portal.caller(), name, new).status == 302


def test_guesses_are_throttled_and_the_right_one_is_not_looked_at(portal: Portal) -> None:
    name, other = _name(), _name()
    portal.registered(name)
    portal.registered(other)
    browser = portal.caller()
    assert [_login(browser, name, f"guess {n}").status for n in range(5)] == [200] * 5
    throttled = _login(browser, name)
    assert throttled.status == 429
    assert 0 < int(throttled.headers["retry-after"]) <= 300
    assert SESSION not in browser.cookies
    assert _login(browser, name.upper()).status == 429
    assert _login(browser, other).status == 302


@pytest.mark.slow
def test_the_throttle_holds_over_a_restart_and_knows_no_names(start_portal: Callable[..., Portal]) -> None:
    portal, name = start_portal(), _name()
    portal.registered(name)
    for n in range(5):
        _login(portal.caller(), name, f"guess {n}")
    portal.stop()
    portal.start()
    assert _login(portal.caller(), name).status == 429
    with sqlite3.connect(portal.folder / "portal" / "portal.db") as database:
        rows = database.execute("SELECT bucket FROM web_attempts").fetchall()
    assert rows
    assert all(re.fullmatch("[0-9a-f]{64}", bucket) for (bucket,) in rows)


@pytest.mark.slow
def test_registrations_are_throttled(start_portal: Callable[..., Portal]) -> None:
    portal = start_portal("[portal.limits]\nregistrations = 2\n")
    portal.registered()
    portal.registered()
    fields = {"name": _name(), "password1": PASSWORD, "password2": PASSWORD}
    assert portal.caller().post("/register/", fields).status == 429


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_nobody_is_sent_to_another_site(portal: Portal, user: str, target: str) -> None:
    browser = portal.caller()
    answer = browser.post("/login/", {"username": user, "password": PASSWORD, "next": target})
    assert (answer.status, answer.headers["location"]) == (302, "/models/")
    answer = browser.post("/language/setlang/", {"language": "fr", "next": target}, "/account/")
    assert (answer.status, answer.headers["location"]) == (302, "/")


def test_a_foreign_host_name_is_refused(portal: Portal) -> None:
    assert portal.caller().get("/login/", Host="evil.example").status == 400
    assert portal.caller().get("/login/", Host="localhost").status == 200


def test_forms_of_other_sites_are_refused(portal: Portal, user: str) -> None:
    browser = portal.caller()
    body = f"username={user}&password={PASSWORD}".encode()
    kind = {"Content_Type": "application/x-www-form-urlencoded"}
    assert browser.send("POST", "/login/", body, **kind).status == 403
    fields = {"username": user, "password": PASSWORD}
    assert browser.post("/login/", fields, Origin="https://evil.example").status == 403
    assert browser.post("/login/", fields, Sec_Fetch_Site="cross-site").status == 403
    assert browser.post("/login/", fields, Sec_Fetch_Site="same-origin").status == 302


def test_forms_are_bounded_and_take_no_files(portal: Portal, user: str) -> None:
    browser = portal.caller()
    assert browser.post("/login/", {"username": user, "password": "x" * 70_000}).status == 413
    token = form_token(browser.get("/login/").text)
    lines = [
        "--b",
        f'Content-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n{token}',
        "--b",
        'Content-Disposition: form-data; name="username"; filename="a"\r\n\r\nx',
        "--b--",
        "",
    ]
    sent = "\r\n".join(lines).encode()
    answer = browser.send("POST", "/login/", sent, Content_Type="multipart/form-data; boundary=b")
    assert answer.status == 400


def test_a_token_is_shown_once_and_kept_as_a_hash(portal: Portal) -> None:
    browser = portal.registered()
    program = portal.program(browser)
    token = program.headers["Authorization"].removeprefix("Bearer ")
    assert program.get("/api/v1/account").status == 200
    assert token not in browser.get("/account/").text
    for path in (portal.folder / "portal").rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes()
    assert not any(token in line for line in portal.log)
    (number,) = re.findall(r"/account/tokens/(\d+)/delete/", browser.get("/account/").text)
    assert browser.post(f"/account/tokens/{number}/delete/", {}, "/account/").status == 302
    assert program.get("/api/v1/account").status == 401


PAGES = ["/", "/login/", "/register/", "/models/", "/models/small/", "/keys/", "/jobs/", "/account/", "/api/"]
PAGES += ["/account/password/", "/what-the-server-saw/", "/none/", "/api/v1/models", "/static/web/style.css"]


@pytest.fixture(scope="module")
def inside(portal: Portal) -> Caller:
    return portal.registered()


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_has_the_strict_headers(inside: Caller, path: str) -> None:
    answer = inside.get(path)
    wasm = path in ("/models/small/", "/keys/", "/jobs/")
    assert answer.headers["content-security-policy"] == (POLICY_WITH_WASM if wasm else POLICY)
    assert "unsafe-inline" not in POLICY_WITH_WASM
    assert "'unsafe-eval'" not in POLICY_WITH_WASM
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    cached = "max-age" if path.startswith("/static/") else "no-store"
    assert cached in answer.headers["cache-control"]


@pytest.mark.parametrize("path", [path for path in PAGES if not path.startswith(("/api/v1", "/static"))])
def test_a_page_has_no_script_style_or_address_of_its_own_or_anybody_elses(inside: Caller, path: str) -> None:
    page = Page(inside.get(path).text)
    assert page.all("style") == []
    for tag, attributes in page.tags:
        assert not any(name == "style" or name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href", "action", "srcset", "data"):
            value = attributes.get(name)
            assert value is None or re.match(r"/(?!/)|#|\?", value), (tag, value)
    for script in page.all("script"):
        assert script.get("src") or script["type"] == "application/json"


@pytest.mark.parametrize("path", PAGES)
def test_no_secret_is_in_a_page(portal: Portal, inside: Caller, path: str) -> None:
    text = inside.get(path).text
    secret = (portal.folder / "portal" / "secret").read_text()
    assert len(secret) > 50
    for hidden in (secret, inside.cookies[SESSION], "scrypt", str(portal.folder)):
        assert hidden not in text


def test_features_cannot_be_sent_by_the_form(inside: Caller) -> None:
    """Without the client's script, or when it fails, the browser has nothing to send: no field has a name."""
    page = Page(inside.get("/models/small/").text)
    features = [one for one in page.all("input") if one.get("data-feature")]
    assert [one["data-feature"] for one in features] == ["radius", "texture"]
    assert not any("name" in one for one in features)
    (form,) = (one for one in page.all("form") if one.get("id") == "features")
    assert (form["method"], form.get("action")) == ("dialog", None)


def test_a_page_is_in_the_readers_language(portal: Portal) -> None:
    assert '<html lang="fr">' in portal.caller().get("/login/", Accept_Language="fr-CA, en;q=0.5").text
    browser = portal.caller()
    browser.post("/language/setlang/", {"language": "fr", "next": "/login/"}, "/login/")
    shown = browser.get("/login/").text
    assert '<html lang="fr">' in shown
    assert "Mot de passe" in shown


@pytest.fixture(scope="module")
def encrypted(start_portal: Callable[..., Portal], authority: Any, tmp_path_factory: Any) -> Any:
    identity, folder = authority.issue("localhost"), tmp_path_factory.mktemp("tls")
    (folder / "site.pem").write_bytes(identity.certificate)
    files.write(folder / "site.key", identity.private_key)
    (folder / "ca.pem").write_bytes(identity.authorities)
    portal = start_portal(
        f'[portal.tls]\ncertificate = "{folder}/site.pem"\nkey = "{folder}/site.key"\n',
    )
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    return portal, context


def test_under_tls_cookies_never_leave_it(encrypted: Any) -> None:
    portal, context = encrypted
    browser = Caller(portal.address.replace("127.0.0.1", "localhost"), context)
    fields = {"name": _name(), "password1": PASSWORD, "password2": PASSWORD}
    answer = browser.post("/register/", fields)
    assert answer.status == 302
    assert set(browser.cookies) == {"__Host-session", "__Host-csrf"}
    for line in browser.set:
        assert "Secure" in line
        assert "Path=/" in line
        assert "Domain" not in line
    assert all("HttpOnly" in line for line in browser.set if line.startswith("__Host-session"))
    assert "max-age=31536000" in answer.headers["strict-transport-security"]
    assert browser.get("/account/").status == 200


def test_djangos_own_check_of_a_deployment_finds_nothing(encrypted: Any) -> None:
    portal, _ = encrypted
    check = "call_command('check', deploy=True, fail_level='INFO')"
    portal.run(f"from django.core.management import call_command\n{check}")
