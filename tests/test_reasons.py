"""Every reason is one class's own, in words, and docs/reasons.md lists it with where it is raised."""

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator

from tests.parts.documents import ROOT, rows, text_of

from pericard_protocol.errors import PeerError

PACKAGES = {
    "pericard_protocol": "protocol",
    "pericard_edge": "edge",
    "pericard_gateway": "gateway",
    "pericard_server": "hospital",
    "pericard_kms": "kms",
    "pericard_cloud": "cloud",
    "pericard_client": "client",
    "pericard_tools": "tools",
}


def _walk(kind: type[PeerError]) -> Iterator[type[PeerError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _walk(below)


def _of_the_site(module: str) -> bool:
    """The portal's modules but its errors: they need its Django, and this process has the hospital's."""
    return bool(re.match(r"pericard_cloud\.portal\.(?!errors$)", module))


def test_all_that_the_portal_refuses_is_in_its_errors() -> None:
    sources = sorted((ROOT / "cloud" / "pericard_cloud" / "portal").rglob("*.py"))
    found = {
        path.name
        for path in sources
        if re.search(r"class \w+\((\w+, *)*(PeerError|Refused)\b", path.read_text())
    }
    assert found == {"errors.py"}


def _classes() -> list[type[PeerError]]:
    """Every class of the product: its modules are imported, but for programs and what runs on boards."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not re.search(r"\.__main__$|\.vm\b|\.migrations\b", module.name) and not _of_the_site(
                module.name
            ):
                importlib.import_module(module.name)
    return sorted({one for one in _walk(PeerError) if one.__module__.partition(".")[0] in PACKAGES}, key=repr)


CLASSES = _classes()


def test_each_class_has_a_reason_of_its_own_in_words() -> None:
    assert [one for one in CLASSES if "reason" not in vars(one)] == []
    assert [one.reason for one in CLASSES if not re.fullmatch(r"[a-z]+( [a-z]+)*", one.reason)] == []


def test_no_reason_stands_for_two_things() -> None:
    counted = Counter(one.reason for one in CLASSES)
    assert [reason for reason, number in counted.items() if number > 1] == []


def test_the_document_lists_every_reason_where_it_is_raised_and_no_other() -> None:
    listed, _, _ = text_of("docs/reasons.md").partition("## Words beside them")
    shown = {(row[0].strip("`"), row[1]) for row in rows(listed)}
    assert shown == {(one.reason, PACKAGES[one.__module__.partition(".")[0]]) for one in CLASSES}
    assert all(row[2] and row[3] for row in rows(listed))
