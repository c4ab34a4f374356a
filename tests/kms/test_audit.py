"""Invariant: a true export verifies; any flip, drop, reorder, truncation or splice in it does not."""

import base64
import hmac
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.parts.kms import Reopen, VaultClient

from pericard_kms.crypto.checkpoints import open_checkpoint, sign_checkpoint
from pericard_kms.crypto.merkle import Frontier, check_consistency, check_inclusion, leaf_hash
from pericard_kms.errors import Tampered
from pericard_kms.storage import audit_export
from pericard_kms.storage.audit_log import Recorder

WRONG = "hvs." + "A" * 32


def take(kms: VaultClient) -> Any:
    """(public key, export lines, checkpoint) of the KMS's log as it is now."""
    key = base64.b64decode(kms.ok("GET", "sys/audit-log/key")["public_key"])
    note = kms.ok("GET", "sys/audit-log/checkpoint")["checkpoint"]
    origin, size, _, _ = open_checkpoint(note, key)
    leaves: list[str] = []
    while len(leaves) < size:
        leaves += kms.ok("GET", f"sys/audit-log/entries?start={len(leaves)}&stop={size}")["entries"]
    return key, list(audit_export.write_export(origin, key, leaves, note)), note


@pytest.fixture
def exported(kms: VaultClient) -> Any:
    for number in range(20):
        kms.ok("POST", "transit/encrypt/k", {"plaintext": base64.b64encode(b"%d" % number).decode()})
    _, _, older = take(kms)
    for _ in range(20):
        kms.refused(403, "GET", "sys/mounts", token=WRONG)
    return *take(kms), older


def test_a_true_export_verifies(exported: Any) -> None:
    key, lines, note, older = exported
    verified = audit_export.verify_export(lines, key, [older, note])
    assert verified.entries == len(lines) - 2 > 40


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_every_flipped_character_is_found(exported: Any, data: st.DataObject) -> None:
    key, lines, *_ = exported
    at = data.draw(st.integers(0, len(lines) - 1))
    line = lines[at]
    place = data.draw(st.integers(0, len(line) - 2))
    flipped = chr(ord(line[place]) ^ (1 << data.draw(st.integers(0, 6))))
    changed = [*lines[:at], line[:place] + flipped + line[place + 1 :], *lines[at + 1 :]]
    with pytest.raises(Tampered):
        audit_export.verify_export(changed, key)


def test_dropping_reordering_cutting_and_splicing_are_found(exported: Any) -> None:
    key, lines, _, older = exported
    n = len(lines)

    def renumbered(entries: Any) -> Any:
        """The cleverer forger: positions rewritten so that they count up."""
        fixed = [re.sub(r'"position":\d+', f'"position":{at}', line) for at, line in enumerate(entries)]
        return [lines[0], *fixed, lines[-1]]

    body = lines[1:-1]
    forgeries = {
        "drop": [*lines[:5], *lines[6:]],
        "drop, renumbered": renumbered([*body[:5], *body[6:]]),
        "reorder": [*lines[:5], lines[6], lines[5], *lines[7:]],
        "reorder, renumbered": renumbered([*body[:5], body[6], body[5], *body[7:]]),
        "repeat": [*lines[:5], lines[5], *lines[5:]],
        "cut before the checkpoint": lines[: n - 5],
        "cut, with the checkpoint": [*lines[: n - 5], lines[-1]],
        "no entries": [lines[0], lines[-1]],
        "empty": [],
        "an entry after the end": [*lines, body[-1]],
        "space in an entry": [lines[0], body[0].replace(":", ": ", 1), *lines[2:]],
    }
    for forged in forgeries.values():
        with pytest.raises(Tampered):
            audit_export.verify_export(forged, key)
    # A tail cut together with its checkpoint is sound in itself; only an older, longer checkpoint tells.
    size = open_checkpoint(older, key)[1]
    short = [*lines[: size + 1], json.dumps({"checkpoint": older}) + "\n"]
    assert audit_export.verify_export(short, key).entries == size
    with pytest.raises(Tampered, match="tail was cut"):
        audit_export.verify_export(short, key, [exported[2]])


def test_a_forger_with_another_key_is_found(exported: Any) -> None:
    key, lines, *_ = exported
    forged = [line.replace('"status":403', '"status":200') for line in lines[1:-1]]
    frontier = Frontier()
    for line in forged:
        frontier.append(leaf_hash(line.rstrip("\n").encode()))
    other = Ed25519PrivateKey.generate()
    origin = json.loads(lines[0])["origin"]
    note = sign_checkpoint(other, origin, frontier.size, frontier.root(), 0)
    public = other.public_key().public_bytes_raw()
    whole = list(audit_export.write_export(origin, public, [line.rstrip("\n") for line in forged], note))
    assert audit_export.verify_export(whole, public).entries  # sound under the forger's own key
    with pytest.raises(Tampered, match="another public key"):
        audit_export.verify_export(whole, key)
    with pytest.raises(Tampered, match="not one that this log's key signed"):
        audit_export.verify_export([lines[0], *whole[1:]], key)


def test_a_rewritten_history_contradicts_an_older_checkpoint(exported: Any, kms: VaultClient) -> None:
    """The KMS itself, taken over, rewrites the past and signs it: who kept a checkpoint sees it."""
    key, lines, note, older = exported
    origin, size, _, time = open_checkpoint(older, key)
    rewritten = sign_checkpoint(kms.store.log._signer, origin, size, bytes(32), time)
    with pytest.raises(Tampered, match="history was rewritten"):
        audit_export.verify_export(lines, key, [rewritten, note])
    with pytest.raises(Tampered, match="two histories"):
        audit_export.verify_export(lines, key, [rewritten, older])


def test_proofs_from_the_api_verify(exported: Any, kms: VaultClient) -> None:
    key, lines, note, older = exported
    _, size, root, _ = open_checkpoint(note, key)
    for position in (0, 7, size - 1):
        proof = kms.ok("GET", f"sys/audit-log/inclusion?position={position}&size={size}")["proof"]
        leaf = leaf_hash(lines[1 + position].rstrip("\n").encode())
        check_inclusion(leaf, position, size, [base64.b64decode(step) for step in proof], root)
    _, old, old_root, _ = open_checkpoint(older, key)
    proof = kms.ok("GET", f"sys/audit-log/consistency?from={old}&to={size}")["proof"]
    check_consistency(old, size, old_root, root, [base64.b64decode(step) for step in proof])
    kms.refused(400, "GET", f"sys/audit-log/inclusion?position=0&size={size + 10_000}")


def test_the_log_tells_who_what_and_when_but_no_secret(kms: VaultClient) -> None:
    secret = base64.b64encode(b"the patient's secret").decode()
    box = kms.ok("POST", "transit/encrypt/k", {"plaintext": secret})["ciphertext"]
    kms.ok("POST", "transit/decrypt/k", {"ciphertext": box})
    _, lines, _ = take(kms)
    text = "".join(lines)
    for hidden in (secret, box, kms.token):
        assert hidden not in text
    entry = next(json.loads(line) for line in lines[1:-1] if "transit/decrypt/k" in line)
    assert entry["request"]["path"] == "transit/decrypt/k"
    assert entry["auth"]["policies"] == ["root"]
    assert entry["response"]["status"] == 200
    assert entry["time"].startswith("2027-01-15T")
    # Who holds a value can ask whether it is the one that was logged.
    hashed = kms.ok("POST", "sys/audit-hash/merkle", {"input": box})["hash"]
    assert entry["request"]["data"]["ciphertext"] == hashed


def test_refused_requests_are_logged_too(kms: VaultClient) -> None:
    """A stranger's without its fields: nobody without a token can make the log grow by megabytes."""
    kms.refused(403, "POST", "transit/encrypt/k", {"plaintext": ["a"] * 100_000}, token=WRONG)
    kms.refused(404, "GET", "transit/keys/none")
    _, lines, _ = take(kms)
    assert max(map(len, lines)) < 10_000
    tail = [json.loads(line) for line in lines[-6:-1]]
    assert {(e["request"]["path"], e["response"]["status"]) for e in tail} >= {
        ("transit/encrypt/k", 403),
        ("transit/keys/none", 404),
    }


def test_many_leaves_and_a_restart(kms: VaultClient, reopen: Reopen) -> None:
    items = {"batch_input": [{"plaintext": ""}] * 3}
    for _ in range(600):
        kms.ok("POST", "transit/encrypt/k", items)
    key, before, older = take(kms)
    kms = reopen()
    again, lines, _ = take(kms)
    assert again == key
    assert lines[1 : len(before) - 1] == before[1:-1]
    audit_export.verify_export(lines, key, [older])
    size = len(lines) - 2
    proof = kms.ok("GET", f"sys/audit-log/inclusion?position=300&size={size}")["proof"]
    root = open_checkpoint(json.loads(lines[-1])["checkpoint"], key)[2]
    leaf = leaf_hash(lines[301].rstrip("\n").encode())
    check_inclusion(leaf, 300, size, [base64.b64decode(step) for step in proof], root)


def change(tmp_path: Path, statement: Any) -> None:
    """What a thief with write access to the file can do."""
    with closing(sqlite3.connect(tmp_path / "kms" / "kms.sqlite3")) as database, database:
        assert database.execute(statement).rowcount == 1


def test_a_value_moved_in_the_store_is_found(kms: VaultClient, reopen: Reopen, tmp_path: Path) -> None:
    kms.ok("POST", "transit/keys/a")
    kms.ok("POST", "transit/keys/b")
    kms.database.close()
    other = "(SELECT value FROM entry WHERE name LIKE 'mount/%/key/a')"
    change(tmp_path, f"UPDATE entry SET value = {other} WHERE name LIKE 'mount/%/key/b'")  # noqa: S608
    kms = reopen(closed=True)
    status, answer = kms("POST", "transit/encrypt/b", {"plaintext": ""})
    assert status == 500
    assert "changed or moved" in answer["errors"][0]
    kms.ok("POST", "transit/encrypt/a", {"plaintext": ""})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE leaf SET value = (SELECT value FROM leaf WHERE position = 2) WHERE position = 1",
        "DELETE FROM leaf WHERE position = 1",
    ],
)
def test_a_leaf_changed_in_the_store_keeps_it_sealed(
    kms: VaultClient, reopen: Reopen, tmp_path: Path, statement: str
) -> None:
    kms.database.close()
    change(tmp_path, statement)
    with pytest.raises(AssertionError, match="audit"):
        reopen(closed=True)


@given(st.binary(min_size=32, max_size=32), st.text(min_size=1, max_size=300))
def test_the_log_shows_hmac_sha256(key: bytes, value: str) -> None:
    expected = hmac.digest(key, value.encode(), "sha256").hex()
    assert Recorder(key).hidden({"a": [value, "", 7, None]}) == {
        "a": [f"hmac-sha256:{expected}", "", 7, None]
    }
