"""Invariants: a reason names one error; whoever answers a request has a status; "later" is nobody's lie."""

import importlib
import pkgutil

import pericard_kms
from pericard_kms.errors import Answered, RequestError, Sealed, StorageFailed
from pericard_protocol.errors import PeerError, PericardError, Unavailable

for module in pkgutil.walk_packages(pericard_kms.__path__, "pericard_kms."):
    importlib.import_module(module.name)


def _errors(root: type[PericardError]) -> set[type[PericardError]]:
    """The KMS's own errors below `root`, wherever they are defined."""
    below = {found for one in root.__subclasses__() for found in [one, *_errors(one)]}
    return {one for one in below if one.__module__.startswith("pericard_kms")}


def test_every_reason_is_words_and_names_one_error() -> None:
    lies = [one for one in _errors(PeerError) if issubclass(one, PeerError)]
    assert RequestError in lies
    reasons = [one.reason for one in lies]
    assert len(set(reasons)) == len(reasons)
    assert all(reason.replace(" ", "").isalpha() and reason.islower() for reason in reasons)
    assert all("reason" in vars(one) for one in lies), "one of them passes for its base"


def test_what_may_work_later_is_nobodys_lie_and_keeps_its_status() -> None:
    assert {one for one in _errors(Unavailable)} == {Sealed, StorageFailed}
    assert (Sealed.status, StorageFailed.status) == (503, 500)
    assert not any(issubclass(one, PeerError) for one in (Sealed, StorageFailed))
    assert all(400 <= one.status < 600 for one in _errors(Answered) if issubclass(one, Answered))
