"""The API's client. Invariant: whatever a portal answers is what was asked for, or one of our errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.client.conftest import WEIGHTS
from tests.parts import prediction as spec
from tests.parts.portal_stand_in import TOKEN, StandInPortal, serving

from pericard_client import prediction, seal
from pericard_client.errors import BadPortalAnswer, PortalRefused, PortalUnreachable
from pericard_client.portal import Portal, plain
from pericard_protocol.errors import PeerError, UsageError
from pericard_protocol.prediction.manifest import COLUMNS, ROWS

BINS = np.array([[1, 2]])


def _quiet(stage: str, done: float) -> None:
    """Progress that nobody sees."""


def _refusing(portal: StandInPortal, answer: tuple[int, Any], *where: str) -> None:
    portal.refuse = lambda method, path: answer if all(one in f"{method} {path}" for one in where) else None


@pytest.mark.parametrize(
    "url",
    ["http://portal.example", "ftp://localhost", "portal", "https://", "https://a@b.c", "https://b.c?d"],
)
def test_a_token_is_never_sent_in_the_clear_or_elsewhere(url: str) -> None:
    with pytest.raises(UsageError, match="https://"):
        Portal(url, TOKEN)


def test_a_token_that_is_none_and_an_absent_ca_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="token"):
        Portal("https://localhost", "a\r\nb")
    with pytest.raises(UsageError, match="certificates"):
        Portal("https://localhost", TOKEN, tmp_path / "none")


def test_tls_is_verified(authority: Any, other_authority: Any, tmp_path: Path) -> None:
    identity = authority.issue("localhost")
    (tmp_path / "server.pem").write_bytes(identity.certificate + identity.private_key)
    (tmp_path / "ca.pem").write_bytes(identity.authorities)
    (tmp_path / "other.pem").write_bytes(other_authority.issue("x").authorities)
    with serving(StandInPortal({"small": (spec.linear(), WEIGHTS)}), tmp_path / "server.pem") as portal:
        assert Portal(portal.url, TOKEN, tmp_path / "ca.pem").account().user == "ada"
        seen = len(portal.seen)
        for ca in (None, tmp_path / "other.pem"):
            with pytest.raises(PortalUnreachable, match="certificate"):
                Portal(portal.url, TOKEN, ca).account()
        with pytest.raises(PortalUnreachable):
            Portal(portal.url.replace("localhost", "127.0.0.1"), TOKEN, tmp_path / "ca.pem").account()
        assert len(portal.seen) == seen


def test_a_redirect_is_not_followed(portal: StandInPortal) -> None:
    _refusing(portal, (302, None), "account")
    with pytest.raises(PortalRefused, match="302"):
        Portal(portal.url, TOKEN).account()
    assert [path for _, path, *_ in portal.seen] == ["/api/v1/account"]


def test_an_absent_or_failing_portal_is_told_from_one_that_refuses(portal: StandInPortal) -> None:
    _refusing(portal, (503, b"<html>busy"), "account")
    with pytest.raises(PortalUnreachable, match="try later"):
        Portal(portal.url, TOKEN).account()
    _refusing(
        portal, (429, {"reason": "quota", "message": "Your rows\x1b[2J of today\n are used."}), "account"
    )
    with pytest.raises(PortalRefused) as caught:
        Portal(portal.url, TOKEN).account()
    assert str(caught.value) == "the portal refuses (429): Your rows [2J of today  are used."
    with pytest.raises(PortalUnreachable, match="does not answer"):
        Portal("http://127.0.0.1:9", TOKEN).account()


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 50_000, b'{"user": 7}', b'"x"']
)
def test_answers_that_are_none_are_refused(portal: StandInPortal, answer: bytes) -> None:
    _refusing(portal, (200, answer))
    one = Portal(portal.url, TOKEN)
    for ask in (one.account, lambda: one.manifest("small"), lambda: one.job("j"), lambda: one.add_keys(b"")):
        with pytest.raises(PeerError):
            ask()
    if answer != b"[]":
        with pytest.raises(BadPortalAnswer):
            one.models()


def test_another_models_manifest_is_refused(portal: StandInPortal) -> None:
    portal.models["large"] = portal.models["small"]
    with pytest.raises(BadPortalAnswer, match="another model"):
        Portal(portal.url).manifest("large")


def test_an_answer_without_end_is_not_read(portal: StandInPortal) -> None:
    _refusing(portal, (200, bytes(9 << 20)), "models")
    with pytest.raises(BadPortalAnswer, match="longer"):
        Portal(portal.url).models()


@pytest.mark.parametrize(
    "change", [lambda r: r[:-1], lambda r: r + b"\0", lambda r: bytes(len(r)), lambda r: b""]
)
def test_a_reply_that_was_changed_is_never_shown(portal: StandInPortal, change: Any) -> None:
    one = Portal(portal.url, TOKEN)
    genuine = portal._jobs

    def changed(method: str, rest: list[str], query: dict[str, str], body: bytes) -> tuple[int, Any]:
        status, answer = genuine(method, rest, query, body)
        return status, change(answer) if isinstance(answer, bytes) else answer

    portal._jobs = changed  # type: ignore[method-assign]
    with pytest.raises(PeerError):
        prediction.predict_once(one, spec.linear(), BINS, _quiet)
    assert portal.keys == {}


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_fails_says_why_and_is_cancelled(portal: StandInPortal, state: str) -> None:
    failing = {"id": "j0", "state": state, "progress": 0.5, "error": "The worker died."}
    _refusing(portal, (200, failing), "GET", "/jobs/")
    with pytest.raises(PortalRefused, match=f"the job {state}: The worker died"):
        prediction.predict_once(Portal(portal.url, TOKEN), spec.linear(), BINS, _quiet)
    assert portal.seen[-2][1].endswith("/cancel")
    assert portal.keys == {}


def test_a_key_without_its_public_part_must_be_known_there(portal: StandInPortal) -> None:
    secret, public = seal.make_keys(spec.linear().parameter_set, ())
    one = Portal(portal.url, TOKEN)
    with pytest.raises(PortalRefused, match="make a new key"):
        prediction.predict(one, spec.linear(), secret, b"", BINS, _quiet)
    one.add_keys(public)
    assert len(prediction.predict(one, spec.linear(), secret, b"", BINS, _quiet)) == 1


def test_more_rows_than_a_query_has_are_several_jobs(
    portal: StandInPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "MAX_ROWS", 2)
    stages: list[str] = []
    found = prediction.predict_once(
        Portal(portal.url, TOKEN),
        spec.linear(),
        np.array([[0, 0], [1, 0], [0, 1], [3, 2], [2, 2]]),
        lambda stage, done: stages.append(stage),
    )
    assert [one.margins[0] for one in found] == pytest.approx([0.25, 1.45, 5.25, 4.35, 4.75])
    assert stages.count("encrypting") == 3


def test_the_mode_is_that_in_which_less_travels() -> None:
    assert prediction.best_mode(spec.linear(), 1) == ROWS
    assert prediction.best_mode(spec.linear(), 100) == COLUMNS
    assert prediction.best_mode(spec.linear(columns=0), 4096) == ROWS


@given(st.text())
def test_a_strangers_text_is_one_printable_line(text: str) -> None:
    assert plain(text).isprintable()
    assert len(plain(text)) <= 300
