"""Invariants: a device's epoch and boot never go back, and what is lost, suspended or retired is not lent."""

import base64
from typing import Any

import pytest
from tests.parts.kms import Reopen, SetClock, VaultClient

from pericard_kms.access.roles import ROLES
from pericard_protocol.device.lease import LeaseError, check_lease
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


def test_lost_refuses_and_quarantines_from_the_time_given(
    kms: VaultClient, device: Any, clock: SetClock
) -> None:
    lease = lend(kms)
    seen = clock.now
    clock.now += 3600
    kms.ok("POST", "devices/devices/7/state", {"state": "lost", "reason": "gone", "since": int(seen) + 60})

    def verdict(received: Any) -> Any:
        return kms.ok("POST", "devices/devices/7/verdict", {"received": int(received)})["verdict"]

    assert verdict(clock.now) == "quarantine"
    assert verdict(seen + 60) == "quarantine"
    assert verdict(seen) == "refuse"  # not in doubt, but nothing more of it is served
    number = kms.ok("LIST", "devices/leases")["keys"][0]
    assert kms.ok("GET", f"devices/leases/{number}")["withdrawn"] == [7]
    assert lease["keys"]["7"]["key"] == device["key"]
    assert kms.ok("GET", "devices/quarantine")["devices"]["7"]["state"] == "lost"
    future = {"state": "lost", "reason": "gone", "since": int(clock.now) + 60}
    kms.ok("POST", "devices/devices/8", {})
    assert "future" in kms.refused(400, "POST", "devices/devices/8/state", future)
    clock.now += 60
    again = kms.ok("POST", "devices/devices/7/provision", {"reason": "found under a bed"})
    assert again["key"] != device["key"]
    assert verdict(clock.now + 1) == "accept"
    assert verdict(clock.now - 30) == "quarantine"


@pytest.mark.parametrize(
    ("state", "before", "since"),
    [
        ("enrolled", "accept", "quarantine"),
        ("active", "accept", "quarantine"),
        ("suspended", "refuse", "quarantine"),
        ("lost", "refuse", "quarantine"),
        ("retired", "refuse", "quarantine"),
    ],
)
def test_the_verdict_is_that_of_the_manual(
    kms: VaultClient, device: Any, clock: SetClock, state: str, before: str, since: str
) -> None:
    """docs/kms.md: the rows of its table, for a device that was lost once and, but for lost, found."""
    server = kms.limited(ROLES["server"], "server")
    loss = int(clock.now)
    clock.now += 100

    def become(to: Any, **more: Any) -> None:
        body = {"state": to, "reason": "a test", **more}
        kms.ok("POST", "devices/devices/7/state", body)

    become("lost", since=loss)
    if state != "lost":
        kms.ok("POST", "devices/devices/7/provision")
    if state in ("active", "suspended"):
        lend(kms)
    if state in ("suspended", "retired"):
        become(state)
    found = int(clock.now)
    clock.now += 100

    def verdict(received: Any) -> Any:
        answer = kms.ok("POST", "devices/devices/7/verdict", {"received": received}, token=server)
        return answer["verdict"]

    assert kms.ok("GET", "devices/devices/7")["state"] == state
    assert [verdict(loss - 1), verdict(loss), verdict(found - 1)] == [before, since, since]
    assert verdict(found) == ("quarantine" if state == "lost" else before)
    listed = kms.ok("GET", "devices/quarantine", token=server)["devices"]
    assert listed == {"7": {"since": loss, "state": state}}


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
    lease, public = lend(kms, ttl="1h"), log_key(kms)
    document = check_lease(lease["lease"], lease["signature"], public, "gw-1", clock.now)
    assert (document["devices"], document["frames"]) == ({"7": 0}, 100)
    for text, gateway, now, error in [
        (lease["lease"].replace('"frames":100', '"frames":999'), "gw-1", clock.now, "not signed"),
        (lease["lease"], "gw-2", clock.now, "for the gateway gw-1"),
        (lease["lease"], "gw-1", clock.now + 3600, "renew"),
        (lease["lease"], "gw-1", clock.now - 31, "renew"),
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
    document = check_lease(longer["lease"], longer["signature"], log_key(kms), "gw-1", clock.now + 3599)
    assert document["frames"] == 150
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
