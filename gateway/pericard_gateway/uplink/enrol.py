"""Enrols this gateway: makes its keys, redeems the hospital's invitation, writes the files for both."""

from pathlib import Path
from typing import TypeVar

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pericard_edge import files
from pericard_edge.files import FileError
from pericard_gateway.config import GatewaySettings
from pericard_gateway.errors import EnrolmentFailed
from pericard_protocol.channel import Identity, channel_options
from pericard_protocol.proto.uplink_pb2_grpc import EnrolmentStub
from pericard_protocol.uplink.enrolment import MAX_REQUEST_BYTES, Invitation, enrol_request

CALL_SECONDS = 20.0

Key = TypeVar("Key", ec.EllipticCurvePrivateKey, MLDSA65PrivateKey)


def redeem_invitation(settings: GatewaySettings, address: str, invitation: Invitation) -> None:
    """Redeems `invitation` at the hospital's enrolment `address`.

    The keys are on disk before the token is shown, and are used again by a second attempt: whatever fails on
    the way, the same command may simply be repeated.

    Raises:
        EnrolmentFailed: the invitation is for another gateway, or the hospital refused it or did not answer.
        FileError: what is on disk is in the way.
    """
    if invitation.gateway != settings.gateway_id:
        raise EnrolmentFailed(
            f"the invitation is for {invitation.gateway!r}, the configuration for {settings.gateway_id!r}"
        )
    _pin(settings.pinned, invitation.pinned, "pinned key")
    _pin(settings.tls.ca, invitation.authorities, "authorities")
    key = _key(settings.tls.key, "TLS key", ec.generate_private_key(ec.SECP256R1()))
    identity = _key(settings.identity, "identity key", MLDSA65PrivateKey.generate())
    credentials = grpc.ssl_channel_credentials(invitation.authorities)
    options = channel_options(MAX_REQUEST_BYTES, settings.server.name)
    with grpc.secure_channel(address, credentials, options=options) as channel:
        try:
            issued = EnrolmentStub(channel).Enrol(
                enrol_request(invitation, key, identity), timeout=CALL_SECONDS
            )
        except grpc.RpcError as error:
            raise EnrolmentFailed(f"{address}: {error.code().name}: {error.details()}") from None
    # Checked as a pair before it is written.
    made = Identity(issued.certificate, _pem(key), invitation.authorities)
    files.write(settings.tls.certificate, made.certificate)


def _pin(path: Path, content: bytes, what: str) -> None:
    if path.exists() and files.read(path, what) != content:
        raise FileError(f"{what} {path} is not the invitation's: move it away to change the hospital")
    files.write(path, content)


def _key(path: Path, what: str, new: Key) -> Key:
    """The key at `path`, or `new`, which is then there."""
    if not path.exists():
        files.write(path, _pem(new))
        return new
    try:
        found = load_pem_private_key(files.read_secret(path, what), password=None)
    except ValueError:
        found = None
    if not isinstance(found, type(new)):
        raise FileError(f"{what} {path} is not of the kind that enrolment makes: move it away")
    return found


def _pem(key: ec.EllipticCurvePrivateKey | MLDSA65PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
