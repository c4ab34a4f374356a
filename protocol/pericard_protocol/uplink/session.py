"""The sealed session of the uplink: a KEM-agreed key, a signed header, AES-256-GCM records of opened frames.

The gateway seals (`SessionSealer`), the hospital opens (`SessionOpener`). No I/O: callers pass the time in,
and have the sockets and the stored keys.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from google.protobuf.message import DecodeError

from pericard_protocol.device.frame import MAX_PAYLOAD_BYTES
from pericard_protocol.errors import PeerError, UsageError
from pericard_protocol.proto.uplink_pb2 import (
    Batch,
    KeyBundle,
    OpenedFrame,
    SealedRecord,
    SessionHeader,
    SignedSessionHeader,
)
from pericard_protocol.uplink.suites import SUITES, KemSuite, suite_of

CONTEXT = b"pericard session v1"  # FIPS 204, section 5.2, and the first bytes of HKDF's info
SESSION_ID_BYTES = 16
MAX_RECORDS = 2**16  # far below the 2^32 invocations of NIST SP 800-38D, section 8.3
MAX_SECONDS = 60.0
MAX_FRAMES = 1024
MAX_NAME_BYTES = 64
MAX_RECEIVED_US = 2**53  # the year 2255: exact as a double, and every library has the date
# 1,024 frames of 480 payload bytes and at most 64 bytes of fields each, and the tag.
MAX_RECORD_BYTES = MAX_FRAMES * (MAX_PAYLOAD_BYTES + 64) + 16
# What either end of the link accepts as one message, `Sealed` with the largest record. Around its ciphertext
# stand a session id of 16 bytes, a number of at most 3, and the tags and lengths of four fields, 13 more. All
# other messages are far smaller.
MAX_MESSAGE_BYTES = MAX_RECORD_BYTES + 1024


class SessionError(PeerError):
    """A session header that is malformed."""

    reason = "session"


class BadSessionSignature(SessionError):
    """A session header that its gateway did not sign."""

    reason = "session signature"


class RecordError(PeerError):
    """A record that does not open, or whose content is malformed."""

    reason = "record"


class SessionSealer:
    """The gateway's side of one session. The key lives in this object only."""

    def __init__(
        self,
        bundle: KeyBundle,
        gateway_id: str,
        signer: MLDSA65PrivateKey,
        now: float,
        suites: Mapping[int, KemSuite] = SUITES,
    ) -> None:
        """Encapsulates to the verified `bundle` by a provider's `suites`; `now` is in Unix seconds.

        Raises:
            KemError: the bundle's public key is malformed.
            UnknownSuite: its suite is not offered here.
        """
        secret, wrapped = suite_of(bundle.suite, suites).encapsulate(bundle.public_key)
        self.session_id = secrets.token_bytes(SESSION_ID_BYTES)
        header = SessionHeader(
            session_id=self.session_id,
            gateway_id=gateway_id,
            key_id=bundle.key_id,
            suite=bundle.suite,
            wrapped_secret=wrapped,
            created_at_us=int(now * 1e6),
        )
        raw = header.SerializeToString(deterministic=True)
        self.header = SignedSessionHeader(header=raw, signature=signer.sign(raw, context=CONTEXT))
        self._cipher: AESGCM | None = AESGCM(_session_key(secret, header))
        self._number = 0
        self._ends = min(now + MAX_SECONDS, float(bundle.not_after))

    def exhausted(self, now: float) -> bool:
        """Whether the next record needs a new session: 2^16 records, 60 s, or the bundle's end."""
        return self._cipher is None or self._number >= MAX_RECORDS or now >= self._ends

    def seal(self, frames: Iterable[OpenedFrame]) -> SealedRecord:
        """One record of at most 1,024 frames.

        Raises:
            UsageError: too many frames, or the session is at its end.
        """
        batch = Batch(frames=frames)
        if len(batch.frames) > MAX_FRAMES:
            raise UsageError(f"{len(batch.frames)} frames; a record holds at most {MAX_FRAMES}")
        if self._cipher is None or self._number >= MAX_RECORDS:
            raise UsageError("the session is at its end: start a new one")
        number, self._number = self._number, self._number + 1
        # The key is this session's alone and the number is counted up before it is used, so the nonce never
        # repeats; SP 800-38D, section 8.2.1 (deterministic construction).
        sealed = self._cipher.encrypt(
            _nonce(number), batch.SerializeToString(), _bound(self.session_id, number)
        )
        return SealedRecord(session_id=self.session_id, number=number, ciphertext=sealed)

    def wipe(self) -> None:
        """Forgets the session key; nothing sealed before can be opened here again."""
        self._cipher = None


class SessionOpener:
    """The hospital's side of one session."""

    def __init__(
        self,
        signed: SignedSessionHeader,
        gateway_id: str,
        verifier: MLDSA65PublicKey,
        decapsulate: Callable[[str, int, bytes], bytes],
    ) -> None:
        """Verifies the header, then decapsulates.

        `gateway_id` is the name in the peer's certificate, `verifier` that gateway's registered key, and
        `decapsulate(key id, suite, encapsulation)` returns the secret or raises a PeerError. The caller
        gives this function, so that the private key may stay in a KMS.

        Raises:
            BadSessionSignature: not signed by that gateway; nothing in it was parsed.
            SessionError: malformed, or another gateway's.
            UnknownSuite, KemError: from the suite.
        """
        try:
            verifier.verify(signed.signature, signed.header, context=CONTEXT)
        except InvalidSignature:
            raise BadSessionSignature(f"the session header is not signed by gateway {gateway_id!r}") from None
        header = SessionHeader()
        try:
            header.ParseFromString(signed.header)
        except DecodeError:
            raise SessionError("a signed session header that is not one") from None
        if len(header.session_id) != SESSION_ID_BYTES or header.gateway_id != gateway_id:
            raise SessionError(f"the session header is not one of gateway {gateway_id!r}")
        suite_of(header.suite)  # an unknown one is refused before anyone is asked for its key
        secret = decapsulate(header.key_id, header.suite, header.wrapped_secret)
        self.header = header
        self._cipher = AESGCM(_session_key(secret, header))

    def open(self, record: SealedRecord) -> Batch:
        """The frames of `record`, in the order that the gateway read them.

        Raises:
            RecordError: another session's, a number out of range, a tag that does not verify, or a content
                that is not a batch of at most 1,024 well-formed frames.
        """
        if record.session_id != self.header.session_id or record.number >= MAX_RECORDS:
            raise RecordError("the record is not one of this session")
        if len(record.ciphertext) > MAX_RECORD_BYTES:
            raise RecordError(f"the record has over {MAX_RECORD_BYTES} bytes")
        try:
            raw = self._cipher.decrypt(
                _nonce(record.number), record.ciphertext, _bound(record.session_id, record.number)
            )
            batch = Batch.FromString(raw)
        except (InvalidTag, ValueError, DecodeError):
            raise RecordError(f"record {record.number} does not open") from None
        if len(batch.frames) > MAX_FRAMES or any(not _well_formed(frame) for frame in batch.frames):
            raise RecordError(f"record {record.number} holds a malformed frame, or too many")
        return batch


def _session_key(secret: bytes, header: SessionHeader) -> bytes:
    # HKDF-SHA256 (RFC 5869). Both names are length-prefixed, so that no two sessions share an info.
    info = CONTEXT + _prefixed(header.key_id) + _prefixed(header.gateway_id) + header.session_id
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def _prefixed(name: str) -> bytes:
    raw = name.encode()
    if not 0 < len(raw) <= MAX_NAME_BYTES:
        raise SessionError(f"a key id or gateway id must have 1 to {MAX_NAME_BYTES} bytes")
    return bytes([len(raw)]) + raw


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _bound(session_id: bytes, number: int) -> bytes:
    return session_id + number.to_bytes(8, "big")


def _well_formed(frame: OpenedFrame) -> bool:
    return (
        len(frame.payload) <= MAX_PAYLOAD_BYTES
        and frame.epoch <= 0xFFFF
        and 0 < frame.type <= 0xFF
        and 0 <= frame.received_at_us < MAX_RECEIVED_US
    )
