"""The language of policies: a subset of Vault's, as HCL or as JSON.

    path "transit/encrypt/patient-*" { capabilities = ["update"] }
    path "transit/keys/+/rotate"     { capabilities = ["update"] }

A pattern is exact, or ends in `*` (any rest), and `+` stands for one segment. What this subset does not know
(parameters, templates) is refused at writing: a rule that was silently ignored would allow what its author
forbade. What the rules of a token's policies add up to is decided in `pericard_kms.access.acl`.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from pericard_kms.errors import Invalid

CAPABILITIES = frozenset({"create", "read", "update", "delete", "list", "sudo", "deny"})
# The old short form that Vault still reads.
_SHORT = {"read": {"read", "list"}, "write": {"create", "read", "update", "delete", "list"}, "deny": {"deny"}}
_SHORT["sudo"] = _SHORT["write"] | {"sudo"}
MAX_TEXT = 256 * 1024
Rules = dict[str, frozenset[str]]
"""Capabilities by path pattern."""
_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|//[^\n]*|/\*.*?\*/        # space and comments
      |(?P<text>"(?:[^"\\\n]|\\.)*")           # a quoted text
      |(?P<word>[A-Za-z_][A-Za-z0-9_-]*)
      |(?P<mark>[{}\[\]=,:])""",
    re.VERBOSE | re.DOTALL,
)


def parse_policy(text: str) -> Rules:
    """The rules of a policy text, HCL or JSON.

    Raises:
        Invalid: not in the language, or uses a part of Vault's that this KMS does not enforce.
    """
    if len(text) > MAX_TEXT:
        raise Invalid(f"the policy is longer than {MAX_TEXT} characters")
    stripped = text.strip()
    blocks = _json_blocks(stripped) if stripped.startswith("{") else list(_hcl_blocks(stripped))
    rules: Rules = {}
    for pattern, attributes in blocks:
        pattern = pattern.removeprefix("/")
        _check_pattern(pattern)
        rules[pattern] = rules.get(pattern, frozenset()) | _capabilities(pattern, attributes)
    return rules


def _check_pattern(pattern: str) -> None:
    if "+*" in pattern or "*" in pattern[:-1]:
        raise Invalid(f'path "{pattern}": * stands at the end only, and never after +')
    if any("+" in segment and segment != "+" for segment in pattern.split("/")):
        raise Invalid(f'path "{pattern}": + stands for a whole segment')


def _capabilities(pattern: str, attributes: dict[str, Any]) -> frozenset[str]:
    for name in attributes:
        if name not in ("capabilities", "policy"):
            raise Invalid(f'path "{pattern}": {name!r} is not enforced by this KMS; write capabilities only')
    found: set[str] = set()
    if short := attributes.get("policy"):
        if short not in _SHORT:
            raise Invalid(f'path "{pattern}": invalid policy {short!r}')
        found |= _SHORT[short]
    given = attributes.get("capabilities", [])
    if not isinstance(given, list):
        raise Invalid(f'path "{pattern}": capabilities is a list')
    for capability in given:
        if capability not in CAPABILITIES:
            raise Invalid(f'path "{pattern}": invalid capability {capability!r}')
        found.add(capability)
    return frozenset({"deny"} if "deny" in found else found)


def _json_blocks(text: str) -> list[tuple[str, dict[str, Any]]]:
    try:
        table = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the policy is not valid JSON: {error}") from None
    paths = table.get("path") if isinstance(table, dict) else None
    if set(table) - {"path", "name"} or not isinstance(paths, dict | list):
        raise Invalid('a JSON policy is {"path": {"PATTERN": {"capabilities": […]}}}')
    entries = [item for part in paths for item in part.items()] if isinstance(paths, list) else paths.items()
    blocks = []
    for pattern, attributes in entries:
        for block in attributes if isinstance(attributes, list) else [attributes]:
            if not isinstance(block, dict):
                raise Invalid(f'path "{pattern}": not a block of capabilities')
            blocks.append((pattern, block))
    return blocks


def _hcl_blocks(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    tokens = _tokens(text)
    for kind, value in tokens:
        if (kind, value) == ("word", "name"):  # an optional, unused line of old policies
            _expect(tokens, "mark", "=")
            _expect(tokens, "text")
            continue
        if (kind, value) not in (("word", "path"), ("text", "path")):
            raise Invalid(f'the policy has {value!r} where path "…" {{ … }} should stand')
        pattern = _expect(tokens, "text")
        _expect(tokens, "mark", "{")
        yield pattern, dict(_attributes(tokens))


def _attributes(tokens: Iterator[tuple[str, str]]) -> Iterator[tuple[str, Any]]:
    for kind, name in tokens:
        if (kind, name) == ("mark", "}"):
            return
        if (kind, name) == ("mark", ","):
            continue
        if kind == "mark":
            break
        _expect(tokens, "mark", "=")
        kind, value = next(tokens, ("", ""))
        if kind == "text":
            yield name, value
        elif (kind, value) == ("mark", "["):
            yield name, list(_items(tokens))
        else:
            raise Invalid(f"{name!r} is not followed by a text or a list")
    raise Invalid("a path block of the policy is not closed with }")


def _items(tokens: Iterator[tuple[str, str]]) -> Iterator[str]:
    for kind, value in tokens:
        if (kind, value) == ("mark", "]"):
            return
        if kind == "text":
            yield value
        elif (kind, value) != ("mark", ","):
            break
    raise Invalid("a list of the policy is not closed with ]")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            line = text.count("\n", 0, at) + 1
            raise Invalid(f"the policy cannot be read at line {line}: {text[at : at + 20]!r}")
        at = match.end()
        if match.lastgroup == "text":
            try:
                yield "text", str(orjson.loads(match["text"]))
            except orjson.JSONDecodeError:
                raise Invalid(f"the policy's text {match['text']} has an unknown escape") from None
        elif match.lastgroup:
            yield match.lastgroup, match[match.lastgroup]


def _expect(tokens: Iterator[tuple[str, str]], kind: str, value: str | None = None) -> str:
    found_kind, found = next(tokens, ("", "the end"))
    if found_kind != kind or (value is not None and found != value):
        raise Invalid(f"the policy has {found!r} where {value or 'a quoted text'!r} should stand")
    return found
