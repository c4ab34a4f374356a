"""What is sent that is not what it claims: refused with its reason and a sentence; nothing of it stays."""

import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.parts.blind_client import BlindClient
from tests.parts.portal import BYTES, Portal

pytestmark = pytest.mark.slow  # a portal is served; its passwords are costly by design

FEATURES = [[1.0, 2.0], [3.0, 5.0]]
HEADER = struct.Struct("<4sBBBBHH")


def _files(portal: Portal) -> set[Path]:
    kinds = ("uploads", "keys", "queries", "results", "partial")
    return {path for kind in kinds for path in (portal.folder / "portal" / kind).iterdir()}


def _changed(data: bytes, **changes: int) -> bytes:
    names = ("magic", "version", "parameters", "mode", "zero", "rows", "count")
    fields: dict[str, Any] = dict(zip(names, HEADER.unpack_from(data), strict=True)) | changes
    return HEADER.pack(*fields.values()) + data[HEADER.size :]


def _with_word(data: bytes, at: int) -> bytes:
    """A word of all ones, which is not below its prime, at a block's beginning."""
    return data[:at] + b"\xff" * 9 + data[at + 9 :]


QUERIES = {
    "random bytes": (lambda query: os.urandom(len(query)), 400, "prediction object"),
    "nothing": (lambda query: b"", 400, "prediction object"),
    "a cut one": (lambda query: query[:-1], 400, "prediction object"),
    "one byte more": (lambda query: query + b"\0", 400, "prediction object"),
    "keys": (None, 400, "prediction object"),
    "another version": (lambda query: _changed(query, version=2), 400, "prediction object"),
    "other parameters": (lambda query: _changed(query, parameters=3), 400, "prediction object"),
    "unknown parameters": (lambda query: _changed(query, parameters=9), 400, "prediction object"),
    "another mode": (lambda query: _changed(query, mode=7), 400, "prediction object"),
    "more rows than there are": (
        lambda query: _changed(query, rows=4000, count=4000),
        400,
        "prediction object",
    ),
    "no rows": (lambda query: _changed(query, rows=0, count=0), 400, "prediction object"),
    "a word above its prime": (lambda query: _with_word(query, 76), 400, "prediction object"),
    "a word above its prime at the end": (
        lambda query: _with_word(query, len(query) - 64 - 9),
        400,
        "prediction object",
    ),
    "other keys": (lambda query: query[:12] + bytes(32) + query[44:], 409, "prediction keys"),
    "another model": (lambda query: query[:44] + bytes(32) + query[76:], 409, "prediction model"),
}


@pytest.fixture(scope="module")
def sender(portal: Portal, predictors: Callable[[Portal], Any]) -> Any:
    return predictors(portal)


@pytest.fixture(scope="module")
def good(sender: Any) -> bytes:
    query: bytes = sender.blind.query(FEATURES)
    return query


@pytest.mark.parametrize("kind", QUERIES)
def test_a_query_that_is_none(portal: Portal, sender: Any, good: bytes, kind: str) -> None:
    change, status, reason = QUERIES[kind]
    before = _files(portal)
    answer = sender.ask(sender.blind.keys if change is None else change(good))
    assert (answer.status, answer.json["reason"]) == (status, reason)
    assert len(answer.json["message"]) > 20
    assert _files(portal) == before
    assert sender.program.get("/api/v1/account").json["quota"][1]["used"] == 0


@pytest.mark.parametrize("change", [lambda keys: keys[:-1], lambda keys: _with_word(keys, 16), os.urandom])
def test_keys_that_are_none(portal: Portal, sender: Any, change: Any) -> None:
    before = _files(portal)
    made = os.urandom(1000) if change is os.urandom else change(sender.blind.keys)
    answer = sender.program.upload("/api/v1/keys", made)
    assert (answer.status, answer.json["reason"]) == (400, "prediction object")
    assert _files(portal) == before


def test_keys_twice_and_keys_after_a_revocation(predictor: Any) -> None:
    program, keys = predictor.program, predictor.blind.keys
    again = program.upload("/api/v1/keys", keys)
    assert (again.status, again.json["reason"]) == (409, "keys known")
    assert program.send("DELETE", f"/api/v1/keys/{predictor.key}").status == 204
    assert program.get("/api/v1/keys").json == []
    gone = predictor.ask(predictor.blind.query(FEATURES))
    assert (gone.status, gone.json["reason"]) == (404, "not there")
    assert program.upload("/api/v1/keys", keys).status == 201


def test_keys_that_do_not_serve_the_model(portal: Portal, predictor: Any) -> None:
    """Those of a linear model have no rotations."""
    from pericard_protocol.prediction.manifest import Manifest

    line = Manifest.from_json((portal.folder / "models" / "line" / "model.json").read_text())
    blind = BlindClient(line)
    key = predictor.program.upload("/api/v1/keys", blind.keys).json["id"]
    query = predictor.blind.query(FEATURES)
    answer = predictor.ask(query[:12] + blind.fingerprint + query[44:], key=key)
    assert (answer.status, answer.json["reason"]) == (409, "prediction keys")


def test_the_fingerprint_is_the_clients(predictor: Any) -> None:
    (shown,) = predictor.program.get("/api/v1/keys").json
    assert shown["fingerprint"] == predictor.blind.fingerprint.hex()
    assert shown["parameters"] == "s1"


@pytest.mark.parametrize("path", ["/api/v1/keys", "/api/v1/jobs?model=small&key={key}"])
def test_a_bomb_is_refused_unread(portal: Portal, sender: Any, path: str) -> None:
    """It says 40 GB and sends nothing: who waited for it would wait for ever."""
    authorization = sender.program.headers["Authorization"]
    head = (
        f"POST {path.format(key=sender.key)} HTTP/1.1\r\nHost: {sender.program.parts.netloc}\r\n"
        f"Authorization: {authorization}\r\nContent-Type: {BYTES}\r\nContent-Length: 40000000000\r\n\r\n"
    )
    assert _raw(sender, head.encode()).startswith(b"HTTP/1.1 413 ")


def test_an_upload_without_a_length_is_refused(sender: Any) -> None:
    authorization = sender.program.headers["Authorization"]
    head = (
        f"POST /api/v1/keys HTTP/1.1\r\nHost: {sender.program.parts.netloc}\r\n"
        f"Authorization: {authorization}\r\nContent-Type: {BYTES}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert _raw(sender, head.encode() + b"4\r\nPCKY\r\n0\r\n\r\n").startswith(b"HTTP/1.1 411 ")


def test_an_upload_that_is_cut_off_leaves_nothing(portal: Portal, sender: Any) -> None:
    before = _files(portal)
    authorization = sender.program.headers["Authorization"]
    head = (
        f"POST /api/v1/keys HTTP/1.1\r\nHost: {sender.program.parts.netloc}\r\n"
        f"Authorization: {authorization}\r\nContent-Type: {BYTES}\r\nContent-Length: 279376\r\n\r\n"
    )
    with socket.create_connection((sender.program.parts.hostname, sender.program.parts.port)) as one:
        one.sendall(head.encode() + bytes(1000))
    assert sender.program.get("/api/v1/keys").status == 200
    for _ in range(100):
        if _files(portal) == before:
            return
        time.sleep(0.05)
    raise AssertionError(f"left behind: {_files(portal) - before}")


def test_a_form_is_no_upload(sender: Any) -> None:
    answer = sender.program.upload("/api/v1/keys", b"a=1", Content_Type="application/x-www-form-urlencoded")
    assert (answer.status, answer.json["reason"]) == (400, "field")


def test_a_job_needs_a_model_and_keys(sender: Any) -> None:
    answer = sender.program.upload("/api/v1/jobs?model=small", b"x")
    assert (answer.status, answer.json["reason"]) == (400, "field")
    assert "key" in answer.json["message"]
    answer = sender.ask(b"x", model="../../etc/passwd")
    assert (answer.status, answer.json["reason"]) == (404, "not there")


def test_files_are_nobody_elses_to_read(portal: Portal, predictor: Any) -> None:
    predictor.asked()
    folder = portal.folder / "portal"
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def _raw(predictor: Any, sent: bytes) -> bytes:
    address = (predictor.program.parts.hostname, predictor.program.parts.port)
    with socket.create_connection(address, timeout=20) as one:
        one.sendall(sent)
        return one.recv(200)
