"""The firmware's frame, COBS and ratchet agree with the protocol's, which rest on known libraries."""

import json
import random
from collections.abc import Sequence

import pytest
from cobs import cobs
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from tests.parts.micropython import Interpreter

from pericard_protocol.device.frame import MAX_PAYLOAD_BYTES, Frame, FrameType, open_frame
from pericard_protocol.device.ratchet import advance
from pericard_protocol.device.stream import StreamDecoder


def ask(interpreter: Interpreter, *questions: tuple[str, Sequence[object]]) -> list[bytes]:
    return [
        bytes.fromhex(answer) for answer in json.loads(interpreter("answers.py", stdin=json.dumps(questions)))
    ]


def test_packets_are_cobs(interpreter: Interpreter) -> None:
    dice = random.Random(8439)  # noqa: S311
    runs = [bytes(n) for n in (0, 1, 2, 300)] + [b"\x01" * n for n in (1, 253, 254, 255, 508, 509, 512)]
    mixed = [dice.choices(b"\0\0\1\xff", k=dice.randrange(513)) for _ in range(100)]
    data = runs + [b"\x01" * 254 + b"\0", b"\0" + b"\x01" * 254] + [bytes(choice) for choice in mixed]
    answers = ask(interpreter, *(("packet", [one.hex()]) for one in data))
    assert answers == [cobs.encode(one) + b"\0" for one in data]


def test_epochs_follow_one_another(interpreter: Interpreter) -> None:
    keys = [bytes([n]) * 32 for n in range(3)]
    epochs = [0, 255, 65534]
    questions = [("ratchet", [key.hex(), epoch]) for key in keys for epoch in epochs]
    expected = [advance(key, epoch, epoch + 1) for key in keys for epoch in epochs]
    assert ask(interpreter, *questions) == expected


@pytest.mark.parametrize("first", [0, 2**8 - 5, 2**16 - 5, 2**24 - 5, 2**30 - 10])
def test_frames_open(interpreter: Interpreter, first: int) -> None:
    """Also where a byte of the sequence number carries into the next, up to the last of all."""
    dice = random.Random(1)  # noqa: S311
    payloads = [dice.randbytes(n) for n in (0, 1, 15, 16, 17, 63, 64, 65, 128, MAX_PAYLOAD_BYTES)]
    key = dice.randbytes(32)
    # Every field at its greatest, where 32 bits could be too few.
    place = [2**32 - 1, 2**16 - 1, 2**32 - 1]
    asked = [key.hex(), *place, first, int(FrameType.STATUS), [payload.hex() for payload in payloads]]
    (stream,) = ask(interpreter, ("sealed", asked))
    frames = [found for found in StreamDecoder().feed(stream) if isinstance(found, Frame)]
    assert [open_frame(ChaCha20Poly1305(key), frame) for frame in frames] == payloads
    assert [frame.header for frame in frames] == [
        (FrameType.STATUS, 2**16 - 1, 2**32 - 1, 2**32 - 1, first + n) for n in range(len(payloads))
    ]
