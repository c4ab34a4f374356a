"""Known answers of the algorithms and of the sealed session, and a second implementation of each.

`tests/vectors` says where its files are from. The peers are kyber-py and dilithium-py (pure Python), and for
HPKE and the session the specifications spelled out below: nothing here calls `suites` or `session` to know
what is right. A peer is itself held to the published answers before it judges.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from dilithium_py.ml_dsa import ML_DSA_65
from kyber_py.ml_kem import ML_KEM_768, ML_KEM_1024

from pericard_protocol.errors import PeerError
from pericard_protocol.proto.uplink_pb2 import SealedRecord, SignedSessionHeader
from pericard_protocol.uplink.hybrid import HybridOver
from pericard_protocol.uplink.session import SessionOpener
from pericard_protocol.uplink.suites import SUITES, KemSuite

VECTORS = Path(__file__).parents[1] / "vectors"
PEERS = {0x0041: ML_KEM_768, 0x0042: ML_KEM_1024}
PRIVATE: dict[int, type[MLKEM768PrivateKey] | type[MLKEM1024PrivateKey]] = {
    0x0041: MLKEM768PrivateKey,
    0x0042: MLKEM1024PrivateKey,
}


def _files(pattern: str) -> Iterator[dict[str, Any]]:
    for path in sorted(VECTORS.glob(pattern)):
        yield json.loads(path.read_text())


def _cases(pattern: str) -> list[Any]:
    """Every case of the files, with the file's suite; a pattern that finds none is a fault of the tests."""
    found = [
        pytest.param(file.get("suite"), case, id=f"{file.get('suite', 0):04x}-{number}")
        for file in _files(pattern)
        for number, case in enumerate(file["cases"])
    ]
    assert found, f"no vectors in {VECTORS}/{pattern}"
    return found


def _bytes(case: dict[str, str], *names: str) -> list[bytes]:
    return [bytes.fromhex(case[name]) for name in names]


# --- ML-KEM (FIPS 203) and ML-DSA (FIPS 204) ---------------------------------------------------------------


@pytest.mark.parametrize(("suite", "case"), _cases("ml-kem/*.json"))
def test_ml_kem_gives_the_published_answers(suite: int, case: dict[str, str]) -> None:
    """Key generation from the seed, decapsulation, and the implicit rejection of an invalid ciphertext."""
    d, z, pk, ct, ss, invalid, rejection = _bytes(case, "d", "z", "pk", "ct", "ss", "ct_n", "ss_n")
    assert PRIVATE[suite].from_seed_bytes(d + z).public_key().public_bytes_raw() == pk
    assert SUITES[suite].decapsulate(d + z, ct) == ss
    assert SUITES[suite].decapsulate(d + z, invalid) == rejection


@pytest.mark.parametrize(("suite", "case"), _cases("ml-kem/*.json")[::4])
def test_ml_kem_and_its_peer_open_each_other(suite: int, case: dict[str, str]) -> None:
    """Encapsulation draws its own randomness: the peer, held to the published answer, judges it."""
    d, z, pk, msg, ct, ss = _bytes(case, "d", "z", "pk", "msg", "ct", "ss")
    peer = PEERS[suite]
    public, private = peer.key_derive(d + z)
    assert public == pk
    assert peer._encaps_internal(pk, msg) == (ss, ct)
    secret, wrapped = SUITES[suite].encapsulate(pk)
    assert peer.decaps(private, wrapped) == secret
    secret, wrapped = peer.encaps(pk)
    assert SUITES[suite].decapsulate(d + z, wrapped) == secret


@pytest.mark.parametrize(("_", "case"), _cases("ml-dsa/*.json"))
def test_ml_dsa_gives_the_published_answers(_: None, case: dict[str, str]) -> None:
    xi, pk, message, context, signature = _bytes(case, "xi", "pk", "msg", "ctx", "signature")
    key = MLDSA65PrivateKey.from_seed_bytes(xi)
    assert key.public_key().public_bytes_raw() == pk
    public = MLDSA65PublicKey.from_public_bytes(pk)
    public.verify(signature, message, context=context)
    for wrong in ((signature, message + b"\0", context), (signature, message, context + b"\0")):
        with pytest.raises(InvalidSignature):
            public.verify(wrong[0], wrong[1], context=wrong[2])


@pytest.mark.parametrize(("_", "case"), _cases("ml-dsa/*.json")[:2])
def test_ml_dsa_and_its_peer_believe_each_other(_: None, case: dict[str, str]) -> None:
    xi, pk, message, context, signature = _bytes(case, "xi", "pk", "msg", "ctx", "signature")
    public, private = ML_DSA_65.key_derive(xi)
    assert public == pk
    assert ML_DSA_65.sign(private, message, ctx=context, deterministic=True) == signature
    ours = MLDSA65PrivateKey.from_seed_bytes(xi).sign(message, context=context)
    assert ML_DSA_65.verify(pk, message, ours, ctx=context)


# --- HPKE with MLKEM768-X25519 (RFC 9180, draft-ietf-hpke-pq) ----------------------------------------------


def _hybrid_secret(private: bytes, enc: bytes) -> bytes:
    """MLKEM768-X25519, also known as X-Wing: both secrets, bound to the curve's public values and a label."""
    _, lattice = ML_KEM_768.key_derive(private[:64])
    curve = X25519PrivateKey.from_private_bytes(private[64:])
    return hashlib.sha3_256(
        ML_KEM_768.decaps(lattice, enc[:1088])
        + curve.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
        + enc[1088:]
        + curve.public_key().public_bytes_raw()
        + b"\\.//^\\"
    ).digest()


def _hpke_key_and_nonce(secret: bytes, info: bytes, aead: int) -> tuple[bytes, bytes]:
    """RFC 9180, section 5.1, base mode with HKDF-SHA256: a 32-byte key and a 12-byte nonce."""
    suite = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x647A, 1, aead))

    def extract(salt: bytes, label: bytes, key: bytes) -> bytes:
        return hmac.digest(salt, b"HPKE-v1" + suite + label + key, hashlib.sha256)

    def expand(key: bytes, label: bytes, context: bytes, size: int) -> bytes:
        labelled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return hmac.digest(key, labelled + b"\x01", hashlib.sha256)[:size]

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    scheduled = extract(secret, b"secret", b"")
    return expand(scheduled, b"key", context, 32), expand(scheduled, b"base_nonce", context, 12)


@pytest.mark.parametrize(("_", "case"), _cases("hpke/*.json"))
def test_the_hpke_spelled_out_here_gives_the_published_answers(_: None, case: dict[str, Any]) -> None:
    seed, enc, info, public = _bytes(case, "skRm", "enc", "info", "pkRm")
    private = hashlib.shake_256(seed).digest(96)  # the draft expands a 32-byte seed to both private keys
    assert ML_KEM_768.key_derive(private[:64])[0] == public[:-32]
    secret = _hybrid_secret(private, enc)
    assert secret.hex() == case["shared_secret"]
    key, nonce = _hpke_key_and_nonce(secret, info, case["aead_id"])
    assert (key.hex(), nonce.hex()) == (case["key"], case["base_nonce"])
    first = case["encryptions"][0]
    aad, ct, pt = _bytes(first, "aad", "ct", "pt")
    assert ChaCha20Poly1305(key).decrypt(nonce, ct, aad) == pt


def _open_hybrid(private: bytes, wrapped: bytes) -> bytes:
    key, nonce = _hpke_key_and_nonce(
        _hybrid_secret(private, wrapped[:1120]), b"pericard session secret v1", 2
    )
    return AESGCM(key).decrypt(nonce, wrapped[1120:], b"")


@pytest.mark.parametrize(
    "suite", [SUITES[0x647A], HybridOver(SUITES[0x0041])], ids=lambda one: type(one).__name__
)
def test_the_hybrid_suite_opens_there(suite: KemSuite) -> None:
    private, public = suite.generate()
    secret, wrapped = suite.encapsulate(public)
    assert _open_hybrid(private, wrapped) == secret


# --- The sealed session (docs/wire-format.md) --------------------------------------------------------------


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _message(*fields: tuple[int, int | bytes]) -> bytes:
    """Protocol buffers, encoding: numbers as varints (wire type 0), bytes with their length (2), no zeros."""
    encoded = (
        _varint(number << 3) + _varint(value)
        if isinstance(value, int)
        else _varint(number << 3 | 2) + _varint(len(value)) + value
        for number, value in fields
        if value
    )
    return b"".join(encoded)


def _secret_of(suite: int, private: bytes, wrapped: bytes) -> bytes:
    if suite == 0x647A:
        return _open_hybrid(private, wrapped)
    return bytes(PEERS[suite].decaps(PEERS[suite].key_derive(private)[1], wrapped))


def _session(case: dict[str, Any]) -> dict[str, str]:
    """What a session's inputs must give, computed without a line of `session`."""
    private, seed, session_id, wrapped = _bytes(
        case, "private_key", "gateway_seed", "session_id", "wrapped_secret"
    )
    key_id, gateway = case["key_id"].encode(), case["gateway_id"].encode()
    header = _message(
        (1, session_id),
        (2, gateway),
        (3, key_id),
        (4, case["suite"]),
        (5, wrapped),
        (6, case["created_at_us"]),
    )
    context = b"pericard session v1"
    info = context + bytes([len(key_id)]) + key_id + bytes([len(gateway)]) + gateway + session_id
    extracted = hmac.digest(bytes(32), _secret_of(case["suite"], private, wrapped), hashlib.sha256)
    key = hmac.digest(extracted, info + b"\x01", hashlib.sha256)
    names = ("device", "epoch", "boot", "seq", "received_at_us", "type")
    batch = _message(
        *(
            (
                1,
                _message(
                    *((number, frame[name]) for number, name in enumerate(names, 1)),
                    (7, bytes.fromhex(frame["payload"])),
                ),
            )
            for frame in case["frames"]
        )
    )
    nonce, bound = case["number"].to_bytes(12, "big"), session_id + case["number"].to_bytes(8, "big")
    signature = ML_DSA_65.sign(ML_DSA_65.key_derive(seed)[1], header, ctx=context, deterministic=True)
    return {
        "header": header.hex(),
        "signature": signature.hex(),
        "session_key": key.hex(),
        "ciphertext": AESGCM(key).encrypt(nonce, batch, bound).hex(),
    }


@pytest.mark.parametrize(("_", "case"), _cases("session/*.json"))
def test_a_session_is_what_the_wire_format_says(_: None, case: dict[str, Any]) -> None:
    assert _session(case) == {
        name: case[name] for name in ("header", "signature", "session_key", "ciphertext")
    }


@pytest.mark.parametrize(("_", "case"), _cases("session/*.json"))
def test_the_hospital_treats_a_session_as_expected(_: None, case: dict[str, Any]) -> None:
    """Each case as it is, and each of its changes, with the reason for which it is refused."""
    assert case["expect"] == "opens"
    assert _outcome(case) == case["frames"]
    assert case["changes"], "a case without changes would not show that anything is refused"
    for change in case["changes"]:
        assert _outcome(case | change["set"]) == change["expect"], change


def _outcome(case: dict[str, Any]) -> list[dict[str, Any]] | str:
    private, seed, session_id, header, signature, ciphertext = _bytes(
        case, "private_key", "gateway_seed", "session_id", "header", "signature", "ciphertext"
    )
    verifier = MLDSA65PrivateKey.from_seed_bytes(seed).public_key()
    try:
        opener = SessionOpener(
            SignedSessionHeader(header=header, signature=signature),
            case["gateway_id"],
            verifier,
            lambda _key_id, suite, wrapped: SUITES[suite].decapsulate(private, wrapped),
        )
        batch = opener.open(SealedRecord(session_id=session_id, number=case["number"], ciphertext=ciphertext))
    except PeerError as error:
        return error.reason
    return [
        {
            "device": frame.device,
            "epoch": frame.epoch,
            "boot": frame.boot,
            "seq": frame.seq,
            "received_at_us": frame.received_at_us,
            "type": frame.type,
            "payload": frame.payload.hex(),
        }
        for frame in batch.frames
    ]
