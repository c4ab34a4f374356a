"""Leases. Invariant: a lease is the KMS's word of this moment for this gateway, or it is a LeaseError."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from pericard_protocol.device.lease import DOMAIN, LeaseError, check_lease, key_commitment
from pericard_protocol.errors import PeerError

CASES = [
    case
    for file in sorted((Path(__file__).parents[1] / "vectors" / "lease").glob("*.json"))
    for case in json.loads(file.read_text())["cases"]
]
assert CASES, "there are no vectors"
LOG_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def outcome(case: dict[str, Any]) -> str:
    try:
        lease = check_lease(
            case["lease"], case["signature"], bytes.fromhex(case["public"]), case["gateway"], case["now"]
        )
    except PeerError as error:
        return error.reason
    assert {str(number) for number in lease.devices} == case["keys"].keys()
    for number, (epoch, commitment) in lease.devices.items():
        assert key_commitment(number, epoch, bytes.fromhex(case["keys"][str(number)])) == commitment
    return "holds"


@pytest.mark.parametrize("case", CASES)
def test_a_lease_is_what_the_wire_format_says(case: dict[str, Any]) -> None:
    assert outcome(case) == case["expect"] == "holds"
    assert case["changes"], "a case without changes would not show that anything is refused"
    for change in case["changes"]:
        assert outcome(case | change["set"]) == change["expect"], change["why"]


def test_a_commitment_binds_device_epoch_and_key() -> None:
    key = bytes(32)
    seen = {key_commitment(*one) for one in [(7, 0, key), (8, 0, key), (7, 1, key), (7, 0, b"\1" + key[1:])]}
    assert len(seen) == 4


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_signed_text_is_a_lease_or_a_lease_error(text: str) -> None:
    """Even what our KMS signed need not be a lease."""
    try:
        signature = base64.b64encode(LOG_KEY.sign(DOMAIN + text.encode())).decode()
    except UnicodeEncodeError:
        signature = ""
    with pytest.raises(LeaseError):
        check_lease(text, signature, LOG_KEY.public_key().public_bytes_raw(), "ward-1", 0.0)
