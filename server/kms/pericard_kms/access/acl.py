"""What a token's policies allow together. Deny by default.

The most specific pattern that matches a path decides; the capabilities of several policies for the same
pattern add up; `deny` wins over all.
"""

from collections.abc import Iterable

from pericard_kms.access.policy_language import Rules

ROOT = "root"


def matches(pattern: str, path: str) -> bool:
    """Whether `pattern` covers `path`."""
    prefix = pattern.endswith("*")
    body = pattern[:-1] if prefix else pattern
    if "+" not in body:
        return path.startswith(body) if prefix else path == body
    wanted, segments = body.split("/"), path.split("/")
    if len(segments) < len(wanted) or (len(segments) > len(wanted) and not prefix):
        return False
    last = len(wanted) - 1
    for at, part in enumerate(wanted):
        if part == "+" or part == segments[at]:
            continue
        if not (prefix and at == last and segments[at].startswith(part)):
            return False
    return True


def _rank(pattern: str) -> tuple[int, bool, int, int, str]:
    """Higher is more specific: Vault's five rules, in their order."""
    wildcard = min((at for at in (pattern.find("+"), pattern.find("*")) if at >= 0), default=len(pattern) + 1)
    pluses = sum(segment == "+" for segment in pattern.split("/"))
    return wildcard, not pattern.endswith("*"), -pluses, len(pattern), pattern


class Acl:
    """The union of a token's policies, with answers remembered per path."""

    _REMEMBERED = 10_000

    def __init__(self, policies: Iterable[Rules], *, root: bool = False) -> None:
        merged: dict[str, frozenset[str]] = {}
        for rules in policies:
            for pattern, capabilities in rules.items():
                merged[pattern] = merged.get(pattern, frozenset()) | capabilities
        self._exact = {pattern: caps for pattern, caps in merged.items() if not _is_glob(pattern)}
        self._globs = sorted(
            ((pattern, caps) for pattern, caps in merged.items() if _is_glob(pattern)),
            key=lambda rule: _rank(rule[0]),
            reverse=True,
        )
        self.root = root
        self._answers: dict[str, frozenset[str]] = {}

    def capabilities(self, path: str) -> frozenset[str]:
        """What the token may do at `path`; empty or {"deny"} means nothing."""
        if self.root:
            return frozenset({ROOT})
        answer = self._answers.get(path)
        if answer is None:
            answer = self._decide(path)
            if len(self._answers) >= self._REMEMBERED:
                self._answers.clear()  # paths come from outside: the memory stays bounded
            self._answers[path] = answer
        return answer

    def allows(self, capability: str, path: str) -> bool:
        """Whether `capability` is granted at `path`."""
        if self.root:
            return True
        granted = self.capabilities(path)
        return capability in granted and "deny" not in granted

    def _decide(self, path: str) -> frozenset[str]:
        found = self._exact.get(path)
        if found is None:
            found = next((caps for pattern, caps in self._globs if matches(pattern, path)), frozenset())
        return frozenset({"deny"}) if "deny" in found else found


def _is_glob(pattern: str) -> bool:
    return pattern.endswith("*") or "+" in pattern.split("/")
