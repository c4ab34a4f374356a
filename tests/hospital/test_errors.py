"""Every refusal is counted under a reason of its own, which fits its column."""

import importlib
import pkgutil
from collections.abc import Iterator

import pericard_server
from pericard_protocol.errors import PeerError
from pericard_server.fleet.losses import REASON
from pericard_server.records.models import Refusal


def peer_errors(of: type[PeerError] = PeerError) -> Iterator[type[PeerError]]:
    for one in of.__subclasses__():
        yield one
        yield from peer_errors(one)


def test_no_two_errors_share_a_reason() -> None:
    for module in pkgutil.walk_packages(pericard_server.__path__, "pericard_server."):
        importlib.import_module(module.name)
    errors = [one for one in peer_errors() if one.__module__.startswith("pericard_server.")]
    assert len(errors) > 5
    reasons = [REASON, *(one.reason for one in errors)]
    assert sorted(reasons) == sorted(set(reasons))
    longest = Refusal._meta.get_field("reason").max_length
    assert longest is not None
    assert max(map(len, reasons)) <= longest
