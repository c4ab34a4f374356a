"""Invariants: a failed commit is none for every waiting reply; counts stay exact; rekeying keeps the data."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.parts.kms import Reopen, VaultClient

from pericard_kms.errors import StorageFailed
from pericard_kms.storage.barrier import term_of

PLAIN = {"plaintext": base64.b64encode(b"x").decode()}


def handle(kms: VaultClient, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Handles without a flush, as the service does for a group."""
    data = b"" if body is None else json.dumps(body).encode()
    return kms.api.handle(method, "/v1/" + path, kms.token, data, "127.0.0.1").status


@pytest.fixture
def failing(kms: VaultClient, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Switches the store's commits to failure."""
    database = kms.database

    def fail(on: bool) -> None:
        if on:
            monkeypatch.setattr(
                database, "commit", lambda *_: (_ for _ in ()).throw(StorageFailed("the disk is full"))
            )
        else:
            monkeypatch.undo()

    return fail


def test_what_was_not_written_never_was(kms: VaultClient, failing: Callable[[bool], None]) -> None:
    kms.ok("POST", "transit/keys/k")
    size = kms.store.log.size
    failing(True)
    assert handle(kms, "POST", "transit/keys/new") == 200
    assert handle(kms, "POST", "transit/keys/k/rotate") == 200
    assert handle(kms, "POST", "transit/encrypt/k", PLAIN) == 200
    with pytest.raises(StorageFailed):
        kms.api.flush()
    failing(False)
    assert kms.store.log.size == size
    assert kms.ok("LIST", "transit/keys")["keys"] == ["k"]
    key = kms.ok("GET", "transit/keys/k")
    assert (key["latest_version"], key["versions"]["1"]["uses"]) == (1, 0)


def test_a_failed_flush_inside_a_group_fails_the_whole_group(
    kms: VaultClient, failing: Callable[[bool], None]
) -> None:
    kms.ok("POST", "transit/keys/k")
    failing(True)
    assert handle(kms, "POST", "transit/keys/k/rotate") == 200
    assert handle(kms, "GET", "sys/audit-log/checkpoint") == 500  # flushes by itself, and fails
    failing(False)
    with pytest.raises(StorageFailed):
        kms.api.flush()
    assert kms.ok("GET", "transit/keys/k")["latest_version"] == 1
    kms.ok("POST", "transit/encrypt/k", PLAIN)


def test_a_refused_request_does_not_cost_its_neighbours_their_counts(kms: VaultClient) -> None:
    kms.ok("POST", "transit/keys/k")
    for _ in range(3):
        assert handle(kms, "POST", "transit/encrypt/k", PLAIN) == 200
        # Makes the key, then fails: its changes are taken back.
        assert handle(kms, "POST", "transit/encrypt/new", {"plaintext": "!"}) == 400
    kms.api.flush()
    assert kms.ok("GET", "transit/keys/k")["versions"]["1"]["uses"] == 3
    assert kms.ok("LIST", "transit/keys")["keys"] == ["k"]


def test_the_keyring_rotates_and_everything_is_sealed_again(kms: VaultClient, reopen: Reopen) -> None:
    box = kms.ok("POST", "transit/encrypt/k", PLAIN)["ciphertext"]
    kms.ok("POST", "sys/rotate")
    kms.ok("POST", "transit/keys/other")
    while kms.store.reseal(3):
        pass
    database = kms.database
    terms = set()
    for name in set(database.names("")) - {"core/seal", "core/keyring"}:
        sealed = database.get(name)
        assert sealed is not None, name
        terms.add(term_of(sealed))
    assert terms == {2}
    kms = reopen()
    assert kms.ok("POST", "transit/decrypt/k", {"ciphertext": box})["plaintext"] == PLAIN["plaintext"]
    assert kms.ok("GET", "sys/key-status")["term"] == 2


def test_a_worn_barrier_key_rotates_by_itself(kms: VaultClient, reopen: Reopen) -> None:
    ring = kms.store.keyring
    ring.terms[1].seals = 2**30
    kms.ok("POST", "transit/keys/k")
    assert kms.ok("GET", "sys/key-status")["term"] == 2
    kms = reopen()
    kms.ok("GET", "transit/keys/k")


def test_the_count_of_seals_never_falls_behind(kms: VaultClient, reopen: Reopen) -> None:
    """Restart after restart, with few seals each: the count on disk grows all the same."""
    before = kms.store.keyring.terms[1].seals
    for _ in range(3):
        kms = reopen()
        now = kms.store.keyring.terms[1].seals
        assert now > before
        before = now


def test_rekeying_gives_new_shares_and_ends_the_old(kms: VaultClient, reopen: Reopen) -> None:
    old = kms.shares
    box = kms.ok("POST", "transit/encrypt/k", PLAIN)["ciphertext"]
    begun = kms.ok("PUT", "sys/rekey/init", {"secret_shares": 5, "secret_threshold": 3})
    assert (begun["started"], begun["required"]) == (True, 2)
    nonce = begun["nonce"]
    kms.refused(400, "PUT", "sys/rekey/update", {"key": old[0], "nonce": "other"})
    assert kms.ok("PUT", "sys/rekey/update", {"key": old[0], "nonce": nonce})["progress"] == 1
    made = kms.ok("PUT", "sys/rekey/update", {"key": old[1], "nonce": nonce})
    assert (made["complete"], len(made["keys"])) == (True, 5)
    kms.ok("PUT", "sys/seal")
    for share in old:
        status, _ = kms("PUT", "sys/unseal", {"key": share})
    assert status == 400
    for share in made["keys"][1:4]:
        kms.ok("PUT", "sys/unseal", {"key": share})
    assert kms.ok("POST", "transit/decrypt/k", {"ciphertext": box})["plaintext"] == PLAIN["plaintext"]
    kms.ok("PUT", "sys/rekey/init", {"secret_shares": 1, "secret_threshold": 1})
    nonce = kms.ok("GET", "sys/rekey/init")["nonce"]
    for share in old:
        status, _ = kms("PUT", "sys/rekey/update", {"key": share, "nonce": nonce})
    assert status == 400
    kms.ok("DELETE", "sys/rekey/init")
    kms.refused(400, "PUT", "sys/rekey/init", {"secret_shares": 1, "secret_threshold": 2})


def test_sealing_tells_who_did_it(kms: VaultClient, reopen: Reopen) -> None:
    kms.ok("PUT", "sys/seal")
    kms = reopen()
    entries = [json.loads(entry) for entry in kms.ok("GET", "sys/audit-log/entries")["entries"]]
    sealed = next(entry for entry in entries if entry.get("system") == ["sealed"])
    assert (sealed["auth"]["policies"], sealed["request"]["path"]) == (["root"], "sys/seal")
