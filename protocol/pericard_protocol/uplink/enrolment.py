"""Enrolment of a gateway: the invitation that its operator carries over, and the signed request.

No I/O. The hospital's server decides who may redeem a token, and signs the certificate; callers read and
write the files.
"""

import base64
import json
from typing import NamedTuple

import pydantic
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pericard_protocol.errors import PeerError, UsageError
from pericard_protocol.proto.uplink_pb2 import EnrolRequest
from pericard_protocol.schema import Section

# FIPS 204, section 5.2: with this context, a signature that was made for another purpose is not valid here.
CONTEXT = b"pericard enrolment v1"
TOKEN_BYTES = 32  # 256 random bits: nobody guesses a token in the day for which it is valid
# A request has less than 6 KB: token, PKCS #10 with a P-256 key, ML-DSA-65 key and signature.
MAX_REQUEST_BYTES = 16 << 10


class EnrolmentRefused(PeerError):
    """A request for a certificate that is malformed, or not by who it says."""

    reason = "enrolment"


class InvitationError(UsageError):
    """The file given as an invitation is none."""


class Invitation(NamedTuple):
    """What a gateway needs to trust the hospital and to be trusted by it, once. Secret: it has the token."""

    gateway: str
    token: bytes
    authorities: bytes  # PEM: whose servers to trust
    pinned: bytes  # PEM: the hospital's ML-DSA-65 identity key

    def __repr__(self) -> str:
        return f"Invitation(gateway={self.gateway!r}, …)"

    def dump(self) -> bytes:
        """The file's content."""
        return json.dumps(
            {
                "gateway": self.gateway,
                "token": base64.b64encode(self.token).decode(),
                "authorities": self.authorities.decode(),
                "pinned": self.pinned.decode(),
            },
            indent=1,
        ).encode()


class _InvitationFile(Section):
    gateway: str
    token: pydantic.Base64Bytes = pydantic.Field(repr=False)
    authorities: str
    pinned: str


def parse_invitation(raw: bytes) -> Invitation:
    """The invitation in a file.

    Raises:
        InvitationError: malformed; the message repeats nothing of it.
    """
    try:
        file = _InvitationFile.model_validate_json(raw)
    except pydantic.ValidationError:
        raise InvitationError("this is not an invitation: ask the hospital for a new one") from None
    return Invitation(file.gateway, file.token, file.authorities.encode(), file.pinned.encode())


def certificate_request(gateway: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A PKCS #10 request, DER. The hospital ignores the name in it, and certifies the one that it invited."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, gateway)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def enrol_request(
    invitation: Invitation, key: ec.EllipticCurvePrivateKey, identity: MLDSA65PrivateKey
) -> EnrolRequest:
    """The request that redeems `invitation` for `key` and registers `identity`."""
    request = certificate_request(invitation.gateway, key)
    return EnrolRequest(
        token=invitation.token,
        certificate_request=request,
        verifying_key=identity.public_key().public_bytes_raw(),
        signature=identity.sign(invitation.token + request, context=CONTEXT),
    )


def verify_enrol_request(request: EnrolRequest) -> ec.EllipticCurvePublicKey:
    """The key to certify, after a signature by each key in the request was checked. The token is not checked.

    Raises:
        EnrolmentRefused: a key or a signature is wrong.
    """
    try:
        verifier = MLDSA65PublicKey.from_public_bytes(request.verifying_key)
        verifier.verify(request.signature, request.token + request.certificate_request, context=CONTEXT)
    except (ValueError, InvalidSignature):
        raise EnrolmentRefused("the enrolment is not signed by the identity key that it brings") from None
    return requested_key(request.certificate_request)


def requested_key(certificate_request: bytes) -> ec.EllipticCurvePublicKey:
    """The P-256 key of a request that is signed by it.

    Raises:
        EnrolmentRefused: it is not.
    """
    try:
        request = x509.load_der_x509_csr(certificate_request)
        key = request.public_key()
        proven = request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature):
        proven, key = False, None
    if (
        not proven
        or not isinstance(key, ec.EllipticCurvePublicKey)
        or not isinstance(key.curve, ec.SECP256R1)
    ):
        raise EnrolmentRefused("the certificate request is not one for a P-256 key, signed by it")
    return key
