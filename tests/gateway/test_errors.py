"""Each refusal of something from outside has a reason of its own: the word under which it is counted."""

from pericard_gateway import errors
from pericard_protocol.errors import PeerError


def test_every_refusal_has_a_reason_of_its_own() -> None:
    refusals = [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, PeerError) and one.__module__ == errors.__name__
    ]
    assert len(refusals) > 5
    assert all("reason" in vars(one) for one in refusals)
    assert len({one.reason for one in refusals}) == len(refusals)
