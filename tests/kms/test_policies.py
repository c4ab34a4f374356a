"""Invariant: nothing is allowed that no rule allows; deny wins; what is not understood is refused."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pericard_kms.access.acl import Acl, matches
from pericard_kms.access.policy_language import parse_policy
from pericard_kms.errors import Invalid

HCL = """
# the ward's gateway
path "transit/encrypt/ward-*" { capabilities = ["update"] }
path "transit/keys/+/rotate"  { capabilities = ["update", "sudo"], }
path "transit/encrypt/ward-secret" {
  capabilities = ["deny"]  // not this one
}
path "old/*" { policy = "read" } /* the short form */
"""


def test_hcl_and_json_say_the_same() -> None:
    rules = parse_policy(HCL)
    assert rules["transit/keys/+/rotate"] == {"update", "sudo"}
    assert rules["old/*"] == {"read", "list"}
    json = '{"path": {"a/*": {"capabilities": ["read", "list"]}, "a/b": [{"capabilities": ["deny"]}]}}'
    assert parse_policy(json) == {"a/*": {"read", "list"}, "a/b": {"deny"}}


@pytest.mark.parametrize(
    ("path", "capability", "allowed"),
    [
        ("transit/encrypt/ward-7", "update", True),
        ("transit/encrypt/ward-7", "create", False),
        ("transit/encrypt/ward-secret", "update", False),
        ("transit/encrypt/other", "update", False),
        ("transit/keys/a/rotate", "update", True),
        ("transit/keys/a/b/rotate", "update", False),
        ("transit/keys/rotate", "update", False),
        ("old/x/y", "read", True),
        ("old", "read", False),
    ],
)
def test_what_the_rules_allow(path: str, capability: str, allowed: bool) -> None:
    assert Acl([parse_policy(HCL)]).allows(capability, path) is allowed


@pytest.mark.parametrize(
    ("patterns", "path", "winner"),
    [
        (["a/*", "a/b/*"], "a/b/c", "a/b/*"),
        (["a/b", "a/*"], "a/b", "a/b"),
        (["a/+/c", "a/b/*"], "a/b/c", "a/b/*"),  # the first wildcard comes later
        (["a/+/c", "a/*"], "a/b/c", "a/+/c"),  # one ends in *
        (["+/b/c", "+/+/c"], "a/b/c", "+/b/c"),
    ],
)
def test_the_most_specific_pattern_decides(patterns: Any, path: str, winner: str) -> None:
    acl = Acl([{pattern: frozenset({pattern}) for pattern in patterns}])
    assert acl.capabilities(path) == {winner}


def test_policies_add_up_and_deny_wins() -> None:
    read, write = (
        parse_policy('path "a" { capabilities = ["read"] }'),
        parse_policy('path "a" { capabilities = ["update"] }'),
    )
    deny = parse_policy('path "a" { capabilities = ["deny"] }')
    assert Acl([read, write]).capabilities("a") == {"read", "update"}
    assert not Acl([read, write, deny]).allows("read", "a")


@pytest.mark.parametrize(
    "text",
    [
        'path "a" { capabilities = ["fly"] }',
        'path "a" { capabilities = ["read"] allowed_parameters = { "b" = [] } }',
        'path "a" { denied_parameters = ["x"] }',
        'path "a" { capabilities = "read" }',
        'path "a" { capabilities = ["read"',
        'path "a/+*" { capabilities = ["read"] }',
        'path "a*b" { capabilities = ["read"] }',
        'path "a/b+/c" { capabilities = ["read"] }',
        'path { capabilities = ["read"] }',
        'rule "a" { capabilities = ["read"] }',
        "path \"a\" { capabilities = ['read'] }",
        '{"path": {"a": {"capabilities": ["read"], "min_wrapping_ttl": "1s"}}}',
        '{"paths": {}}',
        "{",
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_policy(text)


@given(st.text(max_size=200))
def test_any_text_parses_or_is_refused(text: str) -> None:
    with contextlib.suppress(Invalid):
        parse_policy(text)


@given(st.text("ab/", max_size=12), st.text("ab/+*", max_size=8))
def test_matching_is_the_regular_expression(path: str, pattern: str) -> None:
    import re

    prefix = pattern.endswith("*")
    body = pattern[:-1] if prefix else pattern
    segments = ["[^/]*" if segment == "+" else re.escape(segment) for segment in body.split("/")]
    expression = "/".join(segments) + (".*" if prefix else "")
    if "*" not in body and not any("+" in s and s != "+" for s in body.split("/")) and not body.endswith("+"):
        assert matches(pattern, path) is bool(re.fullmatch(expression, path))
