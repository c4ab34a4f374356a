"""The sealed session. Invariants: open(seal(x)) = x; nothing else opens; every refusal is a PeerError."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from hypothesis import assume, given
from hypothesis import strategies as st

from pericard_protocol.errors import PeerError, UsageError
from pericard_protocol.proto.uplink_pb2 import (
    Batch,
    KeyBundle,
    OpenedFrame,
    Sealed,
    SealedRecord,
    SessionHeader,
    SignedSessionHeader,
)
from pericard_protocol.uplink import bundle as bundles
from pericard_protocol.uplink import session
from pericard_protocol.uplink.session import (
    BadSessionSignature,
    RecordError,
    SessionError,
    SessionOpener,
    SessionSealer,
)
from pericard_protocol.uplink.suites import DEFAULT_SUITE, SUITES, KemError, KemSuite, UnknownSuite

GATEWAY = "pericard:gateway:ward-3"
SIGNER = MLDSA65PrivateKey.generate()
PAIRS = {suite.id: suite.generate() for suite in SUITES.values()}
NOW = 1_790_000_000.0
FRAME = OpenedFrame(
    device=7, epoch=1, boot=2, seq=3, received_at_us=int(NOW * 1e6), type=1, payload=b'{"age": 71}'
)

u32 = st.integers(0, 2**32 - 1)
frames = st.builds(
    OpenedFrame,
    device=u32,
    epoch=st.integers(0, 2**16 - 1),
    boot=u32,
    seq=u32,
    received_at_us=st.integers(0, 2**53 - 1),
    type=st.integers(1, 255),
    payload=st.binary(max_size=480),
)


def _sealer(suite: KemSuite = DEFAULT_SUITE, not_after: float = NOW + 86_400) -> SessionSealer:
    bundle = KeyBundle(
        key_id="today", suite=suite.id, public_key=PAIRS[suite.id][1], not_after=int(not_after)
    )
    return SessionSealer(bundle, GATEWAY, SIGNER, NOW)


def _decapsulate(_key_id: str, suite: int, wrapped: bytes) -> bytes:
    return SUITES[suite].decapsulate(PAIRS[suite][0], wrapped)


def _opener(signed: SignedSessionHeader, gateway: str = GATEWAY) -> SessionOpener:
    return SessionOpener(signed, gateway, SIGNER.public_key(), _decapsulate)


def _signed(header: SessionHeader | bytes, context: bytes = session.CONTEXT) -> SignedSessionHeader:
    raw = header if isinstance(header, bytes) else header.SerializeToString()
    return SignedSessionHeader(header=raw, signature=SIGNER.sign(raw, context=context))


def _seal_bytes(sealer: SessionSealer, content: bytes) -> SealedRecord:
    """What a gateway that is not ours could seal: any content, under the right key."""
    assert sealer._cipher is not None
    number = sealer.seal([]).number
    sealed = sealer._cipher.encrypt(
        number.to_bytes(12, "big"), content, sealer.session_id + number.to_bytes(8, "big")
    )
    return SealedRecord(session_id=sealer.session_id, number=number, ciphertext=sealed)


SEALER = _sealer()
OPENER = _opener(SEALER.header)


@given(st.lists(st.lists(frames, max_size=5), max_size=4), st.sampled_from(list(SUITES.values())))
def test_what_was_sealed_opens(batches: list[list[OpenedFrame]], suite: KemSuite) -> None:
    sealer = _sealer(suite)
    opener = _opener(sealer.header)
    records = [sealer.seal(batch) for batch in batches]
    assert [record.number for record in records] == list(range(len(batches)))
    for record, batch in reversed(list(zip(records, batches, strict=True))):  # in any order, also twice
        assert list(opener.open(record).frames) == batch
        assert list(opener.open(record).frames) == batch


@given(st.integers(0, 10**9), st.sampled_from(["header", "signature"]))
def test_no_bit_of_the_header_can_be_flipped(at: int, part: str) -> None:
    changed = bytearray(getattr(SEALER.header, part))
    changed[at // 8 % len(changed)] ^= 1 << at % 8
    signed = SignedSessionHeader(header=SEALER.header.header, signature=SEALER.header.signature)
    setattr(signed, part, bytes(changed))
    with pytest.raises(BadSessionSignature, match="ward-3"):
        _opener(signed)


@given(st.lists(frames, max_size=2), st.integers(0, 10**9))
def test_no_bit_of_a_record_can_be_flipped(batch: list[OpenedFrame], at: int) -> None:
    record = SEALER.seal(batch)
    changed = bytearray(record.ciphertext)
    changed[at // 8 % len(changed)] ^= 1 << at % 8
    with pytest.raises(RecordError):
        OPENER.open(
            SealedRecord(session_id=record.session_id, number=record.number, ciphertext=bytes(changed))
        )


@given(st.integers(0, 2**64 - 1) | st.integers(0, 1000))
def test_a_record_opens_only_under_its_number(number: int) -> None:
    record = SEALER.seal([FRAME])
    assume(number != record.number)
    record.number = number
    with pytest.raises(RecordError):
        OPENER.open(record)


def test_a_record_of_another_session_does_not_open() -> None:
    """Also not when it claims to be one of this session."""
    other = _sealer()
    record = other.seal([FRAME])
    with pytest.raises(RecordError, match="not one of this session"):
        OPENER.open(record)
    record.session_id = SEALER.session_id
    with pytest.raises(RecordError, match="does not open"):
        OPENER.open(record)


def test_a_wrapped_secret_moved_to_another_header_gives_another_key() -> None:
    """HKDF binds key id, gateway and session: a secret moved to another header opens nothing."""
    stolen = SessionHeader.FromString(SEALER.header.header)
    stolen.key_id = "tomorrow"
    opener = _opener(_signed(stolen))
    with pytest.raises(RecordError):
        opener.open(SEALER.seal([FRAME]))


def test_another_gateway_is_refused() -> None:
    with pytest.raises(SessionError, match="ward-4"):
        _opener(SEALER.header, "pericard:gateway:ward-4")
    stranger = MLDSA65PrivateKey.generate().public_key()
    with pytest.raises(BadSessionSignature):
        SessionOpener(SEALER.header, GATEWAY, stranger, _decapsulate)


@pytest.mark.parametrize("context", [b"", bundles.CONTEXT])
def test_a_signature_for_another_purpose_is_refused(context: bytes) -> None:
    with pytest.raises(BadSessionSignature):
        _opener(_signed(SEALER.header.header, context))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"session_id": b""}, SessionError),
        ({"session_id": bytes(15)}, SessionError),
        ({"session_id": bytes(17)}, SessionError),
        ({"gateway_id": ""}, SessionError),
        ({"key_id": ""}, SessionError),
        ({"key_id": "x" * 65}, SessionError),
        ({"suite": 0}, UnknownSuite),
        ({"suite": 0x0042}, KemError),
        ({"wrapped_secret": b""}, KemError),
        ({"wrapped_secret": bytes(1168)}, KemError),
    ],
    ids=str,
)
def test_each_fault_of_a_signed_header_has_its_error(
    change: dict[str, object], error: type[PeerError]
) -> None:
    header = SessionHeader.FromString(SEALER.header.header)
    for name, value in change.items():
        setattr(header, name, value)
    with pytest.raises(error) as caught:
        _opener(_signed(header))
    assert type(caught.value) is error


near_misses = st.builds(
    SessionHeader,
    session_id=st.binary(min_size=16, max_size=16),
    gateway_id=st.just(GATEWAY),
    key_id=st.text(st.characters(exclude_categories=["Cs"]), max_size=70),
    suite=st.sampled_from([*SUITES, 1]),
    wrapped_secret=st.sampled_from([0, 1088, 1168, 1568]).map(bytes),
).map(SessionHeader.SerializeToString)


@given(st.binary(max_size=200) | near_misses)
def test_any_signed_bytes_are_a_header_or_a_peer_error(raw: bytes) -> None:
    try:
        opener = _opener(_signed(raw))
    except PeerError:
        return
    assert opener.header.SerializeToString() == raw


@given(st.binary(max_size=300))
def test_any_sealed_bytes_are_a_batch_or_a_record_error(content: bytes) -> None:
    try:
        batch = OPENER.open(_seal_bytes(SEALER, content))
    except RecordError:
        return
    assert all(len(frame.payload) <= 480 and frame.type for frame in batch.frames)


@pytest.mark.parametrize(
    "change",
    [
        {"payload": bytes(481)},
        {"epoch": 2**16},
        {"type": 0},
        {"type": 256},
        {"received_at_us": -1},
        {"received_at_us": 2**53},
        {"received_at_us": 2**63 - 1},
    ],
    ids=lambda change: f"{next(iter(change))}",
)
def test_a_malformed_frame_in_a_record_is_refused(change: dict[str, object]) -> None:
    frame = OpenedFrame()
    frame.CopyFrom(FRAME)
    for name, value in change.items():
        setattr(frame, name, value)
    with pytest.raises(RecordError, match="malformed frame"):
        OPENER.open(_seal_bytes(SEALER, Batch(frames=[FRAME, frame]).SerializeToString()))


def test_a_record_holds_1024_of_the_largest_frames_and_not_one_more() -> None:
    largest = OpenedFrame(
        device=2**32 - 1,
        epoch=2**16 - 1,
        boot=2**32 - 1,
        seq=2**32 - 1,
        received_at_us=2**53 - 1,
        type=255,
        payload=bytes(480),
    )
    record = SEALER.seal([largest] * 1024)
    assert len(record.ciphertext) <= session.MAX_RECORD_BYTES
    record.ciphertext = bytes(session.MAX_RECORD_BYTES)
    record.number = session.MAX_RECORDS - 1
    assert Sealed(record=record).ByteSize() <= session.MAX_RECORD_BYTES + 32 < session.MAX_MESSAGE_BYTES
    record = SEALER.seal([largest] * 1024)
    assert len(OPENER.open(record).frames) == 1024
    number = SEALER.seal([]).number
    with pytest.raises(UsageError, match="1025"):
        SEALER.seal([FRAME] * 1025)
    assert SEALER.seal([]).number == number + 1
    with pytest.raises(RecordError, match="too many"):
        OPENER.open(_seal_bytes(SEALER, Batch(frames=[FRAME] * 1025).SerializeToString()))


def test_an_oversized_record_is_refused_before_it_is_opened() -> None:
    record = SealedRecord(
        session_id=SEALER.session_id, number=0, ciphertext=bytes(session.MAX_RECORD_BYTES + 1)
    )
    with pytest.raises(RecordError, match="over"):
        OPENER.open(record)


@pytest.mark.parametrize(
    ("bundle_lives", "session_lives"),
    [(86_400, 60), (60, 60), (5, 5)],
    ids=["60 s", "both", "the bundle's end"],
)
def test_a_session_ends_after_60_seconds_or_with_its_bundle(bundle_lives: int, session_lives: int) -> None:
    sealer = _sealer(not_after=NOW + bundle_lives)
    assert not sealer.exhausted(NOW)
    assert not sealer.exhausted(NOW + session_lives - 0.001)
    assert sealer.exhausted(NOW + session_lives)


@pytest.mark.parametrize(
    "spend",
    [lambda sealer: setattr(sealer, "_number", session.MAX_RECORDS), SessionSealer.wipe],
    ids=["2^16 records", "wiped"],
)
def test_a_spent_session_seals_nothing(spend: Callable[[SessionSealer], None]) -> None:
    sealer = _sealer()
    spend(sealer)
    assert sealer.exhausted(NOW)
    with pytest.raises(UsageError, match="start a new one"):
        sealer.seal([FRAME])


def test_the_last_number_is_used_once() -> None:
    sealer = _sealer()
    opener = _opener(sealer.header)
    sealer._number = session.MAX_RECORDS - 1
    last = sealer.seal([FRAME])
    assert list(opener.open(last).frames) == [FRAME]
    with pytest.raises(UsageError):
        sealer.seal([FRAME])
    last.number = session.MAX_RECORDS
    with pytest.raises(RecordError, match="not one of this session"):
        opener.open(last)


def test_no_key_and_nonce_serve_twice() -> None:
    """Equal content never has equal ciphertext: not within a session, and not in two to one hospital key."""
    one, other = _sealer(), _sealer()
    sealed = [
        record.ciphertext for sealer in (one, other) for record in (sealer.seal([FRAME]) for _ in range(50))
    ]
    assert len(set(sealed)) == 100
    assert one.session_id != other.session_id


def test_a_key_that_the_hospital_lacks_is_its_own_error() -> None:
    class Lacking(PeerError):
        pass

    def decapsulate(key_id: str, suite: int, wrapped: bytes) -> bytes:
        assert (key_id, suite) == ("today", DEFAULT_SUITE.id)
        raise Lacking

    with pytest.raises(Lacking):
        SessionOpener(SEALER.header, GATEWAY, SIGNER.public_key(), decapsulate)


def test_a_malformed_bundle_key_is_a_kem_error() -> None:
    with pytest.raises(KemError):
        SessionSealer(KeyBundle(key_id="today", suite=0x647A, public_key=b"x"), GATEWAY, SIGNER, NOW)
