"""Invariant: a token does what its policies say, while it lives, and its children never outlive it."""

from pathlib import Path
from typing import Any

import pytest
from tests.parts.kms import Reopen, SetClock, VaultClient

LOOK = 'path "auth/token/*" { capabilities = ["create", "read", "update"] }'


def create(kms: VaultClient, token: str | None = None, **settings: Any) -> Any:
    status, answer = kms("POST", "auth/token/create", settings, token=token)
    assert status == 200, answer
    return answer["auth"]


def test_no_token_and_bad_tokens_are_denied(kms: VaultClient) -> None:
    for token in ("", "nope", "hvs." + "A" * 32, "x" * 5000, "\udcff"):
        assert kms.refused(403, "GET", "sys/mounts", token=token) == "permission denied"


def test_the_store_never_holds_a_token(kms: VaultClient, tmp_path: Path) -> None:
    token = create(kms, policies=["default"])["client_token"]
    kms.database.drain()
    for path in (tmp_path / "kms").iterdir():
        assert token.encode() not in path.read_bytes()
        assert kms.token.encode() not in path.read_bytes()


def test_a_child_dies_with_its_parent_and_an_orphan_does_not(kms: VaultClient) -> None:
    parent = kms.limited(LOOK, ttl="2h")
    child = create(kms, parent)["client_token"]
    grandchild = create(kms, child)["client_token"]
    orphan = create(kms, no_parent=True, policies=["limited"])["client_token"]
    kms.ok("POST", "auth/token/revoke", {"token": parent})
    for token in (parent, child, grandchild):
        kms.refused(403, "GET", "auth/token/lookup-self", token=token)
    assert kms.ok("GET", "auth/token/lookup-self", token=orphan)["orphan"] is True


def test_revoke_orphan_leaves_the_children(kms: VaultClient) -> None:
    parent = kms.limited(LOOK)
    child = create(kms, parent)["client_token"]
    kms.ok("POST", "auth/token/revoke-orphan", {"token": parent})
    assert kms.ok("GET", "auth/token/lookup-self", token=child)["orphan"] is True


def test_time_ends_a_token_and_renewal_prolongs_it(kms: VaultClient, clock: SetClock) -> None:
    token = kms.limited(LOOK, ttl="1h")
    clock.now += 3000
    status, answer = kms("POST", "auth/token/renew-self", {"increment": "1h"}, token=token)
    assert (status, answer["auth"]["lease_duration"]) == (200, 3600)
    clock.now += 3500
    assert kms.ok("GET", "auth/token/lookup-self", token=token)["ttl"] == 100
    clock.now += 101
    kms.refused(403, "GET", "auth/token/lookup-self", token=token)
    kms.api.tick()
    accessors = kms.ok("LIST", "auth/token/accessors")["keys"]
    assert len(accessors) == 1  # root's; the expired record is gone


def test_explicit_max_ttl_bounds_renewal(kms: VaultClient, clock: SetClock) -> None:
    token = kms.limited(LOOK, ttl="1h", explicit_max_ttl="90m")
    clock.now += 3500
    _, answer = kms("POST", "auth/token/renew-self", token=token)
    assert answer["auth"]["lease_duration"] == 5400 - 3500


def test_a_periodic_token_renews_for_ever(kms: VaultClient, clock: SetClock) -> None:
    token = kms.limited(LOOK, period="1h")
    for _ in range(1000):
        clock.now += 3500
        kms.ok("POST", "auth/token/renew-self", token=token)


def test_uses_are_counted_and_survive_a_restart(kms: VaultClient, reopen: Reopen) -> None:
    token = kms.limited(LOOK, num_uses=3)
    kms.ok("GET", "auth/token/lookup-self", token=token)
    kms.refused(403, "GET", "sys/mounts", token=token)  # a refused use is a use
    kms = reopen()
    kms.ok("GET", "auth/token/lookup-self", token=token)
    kms.refused(403, "GET", "auth/token/lookup-self", token=token)


def test_nobody_gives_more_than_they_have(kms: VaultClient) -> None:
    parent = kms.limited(LOOK)
    assert "subset" in kms.refused(400, "POST", "auth/token/create", {"policies": ["admin"]}, token=parent)
    assert "root" in kms.refused(400, "POST", "auth/token/create", {"policies": ["root"]}, token=parent)
    kms.refused(400, "POST", "auth/token/create", {"no_parent": True}, token=parent)
    kms.refused(400, "POST", "auth/token/create", {"period": "1h"}, token=parent)
    kms.refused(403, "POST", "auth/token/create-orphan", {}, token=parent)
    child = create(kms, parent, no_default_policy=True)
    assert child["policies"] == ["default", "limited"]


def test_tokens_survive_a_restart(kms: VaultClient, reopen: Reopen) -> None:
    token = kms.limited(LOOK)
    kms = reopen()
    assert kms.ok("GET", "auth/token/lookup-self", token=token)["policies"] == ["default", "limited"]


def test_accessors_do_everything_but_act(kms: VaultClient) -> None:
    auth = create(kms, policies=["default"])
    accessor = auth["accessor"]
    found = kms.ok("POST", "auth/token/lookup-accessor", {"accessor": accessor})
    assert (found["accessor"], found["id"]) == (accessor, "")
    kms.ok("POST", "auth/token/renew-accessor", {"accessor": accessor})
    kms.refused(403, "GET", "auth/token/lookup-self", token=accessor)
    kms.ok("POST", "auth/token/revoke-accessor", {"accessor": accessor})
    kms.refused(400, "POST", "auth/token/lookup-accessor", {"accessor": accessor})


def test_a_changed_policy_takes_effect_at_once(kms: VaultClient) -> None:
    token = kms.limited('path "sys/mounts" { capabilities = ["read"] }')
    kms.ok("GET", "sys/mounts", token=token)
    kms.ok("PUT", "sys/policies/acl/limited", {"policy": 'path "sys/auth" { capabilities = ["read"] }'})
    kms.refused(403, "GET", "sys/mounts", token=token)
    kms.ok("DELETE", "sys/policies/acl/limited")
    kms.refused(403, "GET", "sys/auth", token=token)


@pytest.mark.parametrize("path", ["sys/seal", "sys/rotate", "auth/token/revoke-orphan"])
def test_dangerous_paths_need_sudo(kms: VaultClient, path: str) -> None:
    token = kms.limited('path "*" { capabilities = ["create", "read", "update", "delete", "list"] }')
    kms.refused(403, "PUT", path, {}, token=token)
