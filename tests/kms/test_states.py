"""Invariant: a key does what its SP 800-57 state allows, counts are exact, destruction is final."""

import base64
from pathlib import Path
from typing import Any

import pytest
from tests.parts.kms import Reopen, SetClock, VaultClient

from pericard_kms.engines.states import OPENS, PROTECTS, TRANSITIONS, KeyState, check_transition
from pericard_kms.errors import Invalid

DAY = 86400


def state(kms: VaultClient, name: str, new: Any, **more: Any) -> Any:
    return kms.ok("POST", f"transit/keys/{name}/state", {"state": new, "reason": "a test", **more})


def test_nothing_leaves_destroyed_and_nothing_returns_to_pre_active() -> None:
    assert not TRANSITIONS[KeyState.DESTROYED]
    assert all(KeyState.PRE_ACTIVE not in after for after in TRANSITIONS.values())
    assert PROTECTS < OPENS
    with pytest.raises(Invalid, match="it can become"):
        check_transition(KeyState.DEACTIVATED, KeyState.ACTIVE)


def test_a_suspended_key_opens_and_never_seals(kms: VaultClient) -> None:
    box = kms.ok("POST", "transit/encrypt/k", {"plaintext": ""})["ciphertext"]
    told = state(kms, "k", "suspended")
    assert told["versions"]["1"]["history"][0]["reason"] == "a test"
    kms.ok("POST", "transit/decrypt/k", {"ciphertext": box})
    for path in ("encrypt", "datakey/wrapped", "rewrap"):
        body = {"plaintext": "", "ciphertext": box}
        assert "suspended" in kms.refused(400, "POST", f"transit/{path}/k", body)
    state(kms, "k", "active")
    kms.ok("POST", "transit/encrypt/k", {"plaintext": ""})


def test_a_compromised_signature_proves_nothing(kms: VaultClient) -> None:
    kms.ok("POST", "transit/keys/k", {"type": "ed25519"})
    signed = kms.ok("POST", "transit/sign/k", {"input": ""})["signature"]
    state(kms, "k", "compromised")
    assert "compromised" in kms.refused(400, "POST", "transit/verify/k", {"input": "", "signature": signed})


def test_a_pre_active_key_does_nothing_yet(kms: VaultClient) -> None:
    kms.ok("POST", "transit/keys/k", {"state": "pre-active"})
    assert "pre-active" in kms.refused(400, "POST", "transit/encrypt/k", {"plaintext": ""})
    state(kms, "k", "active")
    kms.ok("POST", "transit/encrypt/k", {"plaintext": ""})
    assert "cannot become" in kms.refused(
        400, "POST", "transit/keys/k/state", {"state": "active", "reason": "again"}
    )
    assert "reason" in kms.refused(400, "POST", "transit/keys/k/state", {"state": "suspended"})


def test_destruction_waits_can_be_cancelled_and_then_is_final(
    kms: VaultClient, clock: SetClock, reopen: Reopen, tmp_path: Path
) -> None:
    kms.ok("POST", "transit/keys/k", {"exportable": True})
    secret = base64.b64decode(kms.ok("GET", "transit/export/encryption-key/k")["keys"]["1"])
    box = kms.ok("POST", "transit/encrypt/k", {"plaintext": ""})["ciphertext"]
    kms.ok("POST", "transit/keys/k/destroy", {"delay": "24h", "reason": "the end"})
    kms.ok("POST", "transit/decrypt/k", {"ciphertext": box})
    kms.ok("POST", "transit/keys/k/cancel-destruction")
    clock.now += 2 * DAY
    kms.api.tick()
    kms.ok("POST", "transit/decrypt/k", {"ciphertext": box})
    kms.ok("POST", "transit/keys/k/destroy", {"delay": "24h", "reason": "the end, really"})
    clock.now += DAY - 1
    kms.api.tick()
    kms.ok("POST", "transit/decrypt/k", {"ciphertext": box})
    clock.now += 1
    kms.api.tick()
    kms = reopen()
    assert "destroyed" in kms.refused(400, "POST", "transit/decrypt/k", {"ciphertext": box})
    assert kms.ok("GET", "transit/keys/k")["versions"]["1"]["state"] == "destroyed"
    assert kms.ok("GET", "transit/export/encryption-key/k")["keys"] == {}
    assert "was destroyed" in kms.refused(400, "POST", "transit/keys/k/rotate")
    name = next(n for n in kms.database.names("mount/") if n.endswith("/key/k"))
    assert base64.b64encode(secret) not in kms.stored(name)
    kms.refused(400, "POST", "transit/keys/k/destroy", {"delay": "1s", "reason": "too quick"})


def test_uses_are_exact_across_restarts_and_failures(kms: VaultClient, reopen: Reopen) -> None:
    for _ in range(3):
        kms.ok("POST", "transit/encrypt/k", {"plaintext": ""})
    kms.ok("POST", "transit/encrypt/k", {"batch_input": [{"plaintext": ""}] * 4})
    kms.refused(400, "POST", "transit/encrypt/k", {"plaintext": "!"})
    kms.ok("POST", "transit/datakey/wrapped/k")
    kms = reopen()
    kms.ok("POST", "transit/encrypt/k", {"plaintext": ""})
    assert kms.ok("GET", "transit/keys/k")["versions"]["1"]["uses"] == 9


def test_the_limit_rotates_before_it_is_passed(kms: VaultClient) -> None:
    kms.ok("POST", "transit/keys/k")
    kms.ok("POST", "transit/keys/k/config", {"usage_limit": 5})
    items = kms.ok("POST", "transit/encrypt/k", {"batch_input": [{"plaintext": ""}] * 12})["batch_results"]
    assert [item["key_version"] for item in items] == [1] * 5 + [2] * 5 + [3] * 2
    key = kms.ok("GET", "transit/keys/k")
    assert [version["uses"] for version in key["versions"].values()] == [5, 5, 2]
    assert [version["state"] for version in key["versions"].values()] == [
        "deactivated",
        "deactivated",
        "active",
    ]
    for item in items:
        kms.ok("POST", "transit/decrypt/k", {"ciphertext": item["ciphertext"]})
    assert "deactivated" in kms.refused(400, "POST", "transit/encrypt/k", {"plaintext": "", "key_version": 1})


def test_a_period_rotates(kms: VaultClient, clock: SetClock) -> None:
    kms.ok("POST", "transit/keys/kem", {"type": "ml-kem-768", "auto_rotate_period": "24h"})
    clock.now += DAY
    kms.api.tick()
    assert kms.ok("GET", "transit/keys/kem")["latest_version"] == 2
    kms.ok("POST", "transit/keys/lazy", {"auto_rotate_period": "24h"})
    clock.now += DAY
    kms.refused(400, "POST", "transit/encrypt/lazy", {"plaintext": "", "associated_data": "!"})
    assert kms.ok("GET", "transit/keys/lazy")["latest_version"] == 1  # refused: nothing was rotated
    assert kms.ok("POST", "transit/encrypt/lazy", {"plaintext": ""})["key_version"] == 2
    log = " ".join(kms.ok("GET", "sys/audit-log/entries")["entries"])
    assert log.count("rotated lazy to version 2: the rotation period ended") == 1
    assert log.count("rotated kem to version 2") == 1


def test_deletion_needs_its_permission(kms: VaultClient) -> None:
    kms.ok("POST", "transit/keys/k")
    assert "not allowed" in kms.refused(400, "DELETE", "transit/keys/k")
    kms.ok("POST", "transit/keys/k/config", {"deletion_allowed": True})
    kms.ok("DELETE", "transit/keys/k")
    kms.refused(404, "GET", "transit/keys/k")
