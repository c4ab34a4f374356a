"""Invariants: a device's epoch and boot never go back, and what is lost, suspended or retired is not lent."""

import base64
from typing import Any

import orjson
import pytest
from tests.parts.kms import Reopen, SetClock, VaultClient

from pericard_kms.access.roles import ROLES
from pericard_protocol.device.lease import SKEW_SECONDS, LeaseError, check_lease, key_commitment
from pericard_protocol.device.ratchet import advance

DAY = 86400


@pytest.fixture
def device(kms: VaultClient) -> Any:
    kms.ok("POST", "devices/devices/7", {"owner": "ward north"})
    return kms.ok("POST", "devices/devices/7/provision")


def lend(kms: VaultClient, **more: Any) -> Any:
    return kms.ok("POST", "devices/leases", {"gateway": "gw-1", "devices": [7], "frames": 100, **more})


def log_key(kms: VaultClient) -> Any:
    return base64.b64decode(kms.ok("GET", "sys/audit-log/key")["public_key"])


def test_keys_are_random_per_device(kms: VaultClient, device: Any) -> None:
    keys = {device["key"]}
    for number in range(8, 28):
        kms.ok("POST", f"devices/devices/{number}", {"owner": "x"})
        keys.add(kms.ok("POST", f"devices/devices/{number}/provision")["key"])
    assert len(keys) == 21
    assert all(len(base64.b64decode(key)) == 32 for key in keys)
    assert "key" not in kms.ok("GET", "devices/devices/7")
    kms.refused(400, "POST", "devices/devices/7", {"owner": "again"})
    kms.refused(400, "POST", "devices/devices/4294967296", {})
    kms.refused(404, "GET", "devices/devices/99")


def test_the_life_of_a_device(kms: VaultClient, device: Any) -> None:
    def become(state: Any, **more: Any) -> Any:
        return kms.ok("POST", "devices/devices/7/state", {"state": state, "reason": "a test", **more})

    assert lend(kms)["keys"]["7"]["key"] == device["key"]
    assert kms.ok("GET", "devices/devices/7")["state"] == "active"
    become("suspended")
    assert "suspended" in kms.refused(400, "POST", "devices/leases", {"gateway": "g", "devices": [7]})
    become("active")
    become("retired")
    assert "final" in kms.refused(400, "POST", "devices/devices/7/state", {"state": "active", "reason": "no"})
    kms.refused(400, "POST", "devices/devices/7/provision")


def become(kms: VaultClient, state: str, **more: Any) -> None:
    kms.ok("POST", "devices/devices/7/state", {"state": state, "reason": "a test", **more})


def losses(kms: VaultClient, **more: Any) -> list[tuple[float, float | None]]:
    """From when to when device 7's frames are in doubt, as the hospital's server is told."""
    told = kms.ok("GET", "devices/quarantine", **more)["losses"]
    return [(one["since"], one["until"]) for one in told if one["device"] == 7]


def held(kms: VaultClient) -> str:
    """The id of the only lease that is held."""
    names = kms.ok("LIST", "devices/leases")["keys"]
    (found,) = [one for one in names if kms.ok("GET", f"devices/leases/{one}")["state"] == "held"]
    return str(found)


def ask(kms: VaultClient, number: str, holds: list[int] | None, **more: Any) -> Any:
    return kms.ok("POST", f"devices/leases/{number}/reconcile", {"holds": holds, **more})


def leased(kms: VaultClient, answer: Any, clock: SetClock) -> list[int]:
    """The devices of a signed lease."""
    return list(check_lease(answer["lease"], answer["signature"], log_key(kms), "gw-1", clock.now).devices)


def test_every_loss_is_told_to_the_hospital(kms: VaultClient, device: Any, clock: SetClock) -> None:
    """Also those that were over before it asked: it may have been away."""
    server = kms.limited(ROLES["server"], "server")
    assert losses(kms, token=server) == []
    first = int(clock.now)
    clock.now += 100
    become(kms, "lost", since=first)
    assert losses(kms, token=server) == [(first, None)]
    kms.ok("POST", "devices/devices/7/provision", {"reason": "found under a bed"})
    found = clock.now
    clock.now += 100
    become(kms, "lost", since=int(clock.now) - 10)
    second = clock.now - 10
    assert losses(kms) == [(first, found), (second, None)]
    become(kms, "retired")
    assert losses(kms) == [(first, found), (second, None)]
    future = {"state": "lost", "reason": "gone", "since": int(clock.now) + 60}
    kms.ok("POST", "devices/devices/8", {})
    assert "future" in kms.refused(400, "POST", "devices/devices/8/state", future)
    kms.refused(404, "POST", "devices/devices/7/verdict", {"received": 1})


def test_a_loss_lasts_until_no_gateway_can_hold_the_old_key(
    kms: VaultClient, device: Any, clock: SetClock
) -> None:
    """A gateway that is cut off has not heard that the key was withdrawn: it opens the thief's frames."""
    lend(kms, ttl="2h")
    since, ends = int(clock.now), clock.now + 7200 + SKEW_SECONDS
    clock.now += 600
    become(kms, "lost", since=since)
    kms.ok("POST", "devices/devices/7/provision")
    assert losses(kms) == [(since, ends)]
    lend(kms, ttl="1d")  # of the new key: nothing of it is in doubt
    assert losses(kms) == [(since, ends)]
    clock.now = ends + 100
    kms.api.tick()
    assert losses(kms) == [(since, ends)]
    become(kms, "lost", since=int(clock.now))
    assert losses(kms)[0] == (since, ends)


@pytest.mark.parametrize("before", ["suspended", "revoked"])
def test_a_key_that_was_withdrawn_before_its_loss_is_lent_until_its_lease_ends(
    kms: VaultClient, device: Any, clock: SetClock, before: str
) -> None:
    lend(kms, ttl="2h")
    ends = clock.now + 7200 + SKEW_SECONDS
    if before == "revoked":
        kms.ok("POST", f"devices/leases/{held(kms)}/revoke")
    else:
        become(kms, "suspended")
    clock.now += 60
    since = int(clock.now)
    become(kms, "lost", since=since)
    kms.ok("POST", "devices/devices/7/provision")
    assert losses(kms) == [(since, ends)]


def test_a_gateway_that_dropped_the_key_ends_the_doubt(
    kms: VaultClient, device: Any, clock: SetClock
) -> None:
    kms.ok("POST", "devices/devices/8", {})
    answer = lend(kms, ttl="2h", devices=[7, 8])
    number, since, ends = held(kms), int(clock.now), clock.now + 7200 + SKEW_SECONDS
    assert leased(kms, answer, clock) == [7, 8]
    become(kms, "lost", since=since)
    assert leased(kms, ask(kms, number, [7, 8], wanted=[7, 8]), clock) == [8]
    kms.ok("POST", "devices/devices/7/provision")
    assert losses(kms) == [(since, ends)]  # it was told, but may not have heard
    clock.now += 60
    assert leased(kms, ask(kms, number, [8]), clock) == [8]
    dropped = clock.now + SKEW_SECONDS  # what the gateway opened last may be dated so much later
    assert losses(kms) == [(since, dropped)]
    clock.now += 60
    ask(kms, number, [8])
    assert losses(kms) == [(since, dropped)]


def test_a_lease_that_is_given_back_counts_no_more(kms: VaultClient, device: Any, clock: SetClock) -> None:
    """As by a gateway that was started anew."""
    lend(kms, ttl="2h")
    number = held(kms)
    ask(kms, number, [])
    assert kms.ok("GET", f"devices/leases/{number}")["state"] == "ended"
    since = int(clock.now)
    clock.now += 60
    become(kms, "lost", since=since)
    kms.ok("POST", "devices/devices/7/provision")
    assert losses(kms) == [(since, clock.now)]


def test_no_gateway_gives_back_for_another(kms: VaultClient, device: Any) -> None:
    lend(kms)
    other = kms.limited(ROLES["gateway"], "gateway", meta={"gateway": "gw-2"})
    kms.refused(403, "POST", f"devices/leases/{held(kms)}/reconcile", {"holds": []}, token=other)


@pytest.mark.parametrize("role", ["server", "cloud", "auditor"])
def test_an_insider_with_another_roles_token_moves_no_loss_and_no_lease(
    kms: VaultClient, device: Any, role: str
) -> None:
    lend(kms)
    token, number = kms.limited(ROLES[role], role), held(kms)
    become(kms, "lost")
    before = losses(kms)
    acts: list[tuple[str, dict[str, Any]]] = [
        ("devices/devices/7/provision", {}),
        ("devices/devices/7/state", {"state": "retired", "reason": "a test"}),
        ("devices/leases", {"gateway": "gw-1", "devices": [7]}),
        *((f"devices/leases/{number}/{act}", {"holds": []}) for act in ("reconcile", "renew", "revoke")),
    ]
    for path, body in acts:
        kms.refused(403, "POST", path, body, token=token)
    kms.refused(403, "GET", f"devices/leases/{number}", token=token)
    assert losses(kms) == before


def test_what_may_be_lent_is_lent_and_the_rest_named(kms: VaultClient, device: Any, clock: SetClock) -> None:
    """One lost device keeps no ward from hearing the others."""
    for number in (8, 9):
        kms.ok("POST", f"devices/devices/{number}", {})
    become(kms, "lost")
    answer = lend(kms, devices=[7, 8, 9, 99])
    assert sorted(answer["keys"]) == ["8", "9"]
    assert leased(kms, answer, clock) == [8, 9]
    assert answer["refused"] == {
        "7": "device 7 is lost: it cannot be lent",
        "99": "device 99 is not enrolled",
    }
    assert "is lost" in kms.refused(400, "POST", "devices/leases", {"gateway": "gw-1", "devices": [7]})
    told = ask(kms, held(kms), [8, 9], wanted=[7, 8, 9])
    assert told["refused"] == {"7": "device 7 is lost: it cannot be lent"}
    kms.ok("POST", "devices/devices/7/provision")
    assert ask(kms, held(kms), [8, 9], wanted=[7, 8, 9])["refused"] == {}


def test_a_revoked_lease_is_signed_without_devices(kms: VaultClient, device: Any, clock: SetClock) -> None:
    """Nobody but the KMS can say so."""
    lend(kms)
    number = held(kms)
    kms.ok("POST", f"devices/leases/{number}/revoke", {})
    assert leased(kms, ask(kms, number, [7]), clock) == []


def test_what_an_earlier_release_stored_is_read(kms: VaultClient, device: Any, clock: SetClock) -> None:
    """It kept the beginning of a device's newest loss only, and committed to no key in a lease."""
    lend(kms)
    number, (stored,) = held(kms), [one for one in kms.store.names("mount/") if "/lease/" in one]
    old = orjson.loads(kms.stored(stored))
    del old["commitments"]
    kms.store.put(stored, orjson.dumps(old))
    assert leased(kms, ask(kms, number, [7]), clock) == []
    (stored,) = [one for one in kms.store.names("mount/") if "/device/" in one]
    old = orjson.loads(kms.stored(stored))
    del old["still_lent"]
    old["history"] = [
        {"to": to, "time": time, "reason": "a test", "epoch": 0}
        for to, time in [("provisioned", 1.0), ("lost", 20.0), ("provisioned", 30.0), ("lost", 50.0)]
    ]
    kms.store.put(stored, orjson.dumps(old | {"state": "lost", "quarantined_since": 40.0}))
    assert losses(kms) == [(20.0, 30.0), (40.0, None)]


def test_provisioning_anew_carries_the_floor_over(kms: VaultClient, device: Any, reopen: Reopen) -> None:
    lease = lend(kms)
    number = kms.ok("LIST", "devices/leases")["keys"][0]
    used = {"used": {"7": {"frames": 60, "epoch": 3, "boot": 41}}}
    assert kms.ok("POST", f"devices/leases/{number}/reconcile", used)["overused"] is False
    old = {"used": {"7": {"frames": 0, "epoch": 1, "boot": 2}}}
    kms.ok("POST", f"devices/leases/{number}/reconcile", old)
    kms = reopen()
    # The key followed the node's ratchet: a new lease opens what comes, not what was.
    start = base64.b64decode(lease["keys"]["7"]["key"])
    lent = lend(kms)["keys"]["7"]
    assert (lent["epoch"], base64.b64decode(lent["key"])) == (3, advance(start, 0, 3))
    again = kms.ok("POST", "devices/devices/7/provision")
    assert (again["epoch"], again["boot"]) == (4, 41)
    far = {"used": {"7": {"frames": 0, "epoch": 60_000, "boot": 2}}}
    kms.refused(400, "POST", f"devices/leases/{number}/reconcile", far)


def test_a_lease_is_checked_offline(kms: VaultClient, device: Any, clock: SetClock) -> None:
    lease, public = lend(kms, ttl="60s"), log_key(kms)
    found = check_lease(lease["lease"], lease["signature"], public, "gw-1", clock.now)
    assert (found.issued, found.not_after) == (clock.now, clock.now + 60)
    key = base64.b64decode(lease["keys"]["7"]["key"])
    assert found.devices == {7: (0, key_commitment(7, 0, key))}
    assert base64.b64encode(key).decode() not in lease["lease"]
    for text, gateway, now, error in [
        (lease["lease"].replace('"frames":100', '"frames":999'), "gw-1", clock.now, "not signed"),
        (lease["lease"].replace('"epoch":0', '"epoch":1'), "gw-1", clock.now, "not signed"),
        (lease["lease"], "gw-2", clock.now, "for the gateway gw-1"),
        (lease["lease"], "gw-1", clock.now + 60, "over"),
        (lease["lease"], "gw-1", clock.now + 91, "clocks"),
        (lease["lease"], "gw-1", clock.now + 86400, "clocks"),
        (lease["lease"], "gw-1", clock.now - 31, "clocks"),
        (lease["lease"], "gw-1", clock.now - 86400, "clocks"),
    ]:
        with pytest.raises(LeaseError, match=error):
            check_lease(text, lease["signature"], public, gateway, now)


def test_a_gateways_token_acts_for_that_gateway_only(kms: VaultClient, device: Any) -> None:
    mine, other = (
        kms.limited(ROLES["gateway"], "gateway", meta={"gateway": name}) for name in ("gw-1", "gw-2")
    )
    asked = {"gateway": "gw-1", "devices": [7]}
    kms.refused(403, "POST", "devices/leases", asked, token=other)
    kms.ok("POST", "devices/leases", asked, token=mine)
    number = kms.ok("LIST", "devices/leases")["keys"][0]
    acts: list[tuple[str, dict[str, Any]]] = [("renew", {}), ("reconcile", {"used": {}})]
    for act, body in acts:
        kms.refused(403, "POST", f"devices/leases/{number}/{act}", body, token=other)
        kms.ok("POST", f"devices/leases/{number}/{act}", body, token=mine)
    kms.refused(403, "GET", f"devices/leases/{number}", token=other)
    day = kms.ok("GET", "bundles/today", token=other)["key_id"]
    kms.refused(403, "POST", f"bundles/keys/{day}/release", {"gateway": "gw-1"}, token=other)


def test_leases_renew_end_and_are_revoked(kms: VaultClient, device: Any, clock: SetClock) -> None:
    lend(kms, ttl="1h")
    number = kms.ok("LIST", "devices/leases")["keys"][0]
    clock.now += 3000
    longer = kms.ok("POST", f"devices/leases/{number}/renew", {"ttl": "1h", "frames": 50})
    found = check_lease(longer["lease"], longer["signature"], log_key(kms), "gw-1", clock.now)
    assert found.not_after == clock.now + 3600
    assert kms.ok("GET", f"devices/leases/{number}")["frames"] == 150
    clock.now += 3600
    kms.api.tick()
    assert kms.ok("GET", f"devices/leases/{number}")["state"] == "ended"
    kms.refused(400, "POST", f"devices/leases/{number}/renew", {})
    over = kms.ok("POST", f"devices/leases/{number}/reconcile", {"used": {"7": {"frames": 151}}})
    assert over["overused"] is True
    kms.refused(400, "POST", f"devices/leases/{number}/reconcile", {"used": {"8": {"frames": 1}}})
    lend(kms)
    second = next(one for one in kms.ok("LIST", "devices/leases")["keys"] if one != number)
    kms.ok("POST", f"devices/leases/{second}/revoke", {})
    kms.refused(400, "POST", f"devices/leases/{second}/renew", {})
    refused: list[dict[str, Any]] = [
        *({"ttl": "1s"}, {"ttl": "30d"}),
        *({"frames": 0}, {"devices": []}, {"devices": [9]}),
    ]
    for wrong in refused:
        status, _ = kms("POST", "devices/leases", {"gateway": "g", "devices": [7], **wrong})
        assert status in (400, 404)
