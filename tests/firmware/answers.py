"""Answers questions about the firmware's pure parts, on any Python: one JSON array on stdin, one on stdout.

Arguments: the firmware's folder. Bytes travel as hex.
"""

import json
import sys
from array import array
from binascii import hexlify, unhexlify

sys.path.insert(0, sys.argv[1])

from pericard_node import aead, cobs
from pericard_node.frame import FrameSealer
from pericard_node.ratchet import next_key


def packet(data):
    """A COBS packet."""
    data = unhexlify(data)
    out = bytearray(cobs.packet_bytes(len(data)))
    return bytes(memoryview(out)[: cobs.encode_into(data, len(data), out)])


def ratchet(key, epoch):
    """The next epoch's key."""
    return next_key(unhexlify(key), epoch)


def poly1305(key, message):
    """The tag of a message of whole blocks."""
    key, message = unhexlify(key), unhexlify(message)
    state, tag = array("I", bytes(120)), bytearray(16)
    aead._begin(state, key)
    aead._absorb(state, message, 0, len(message) // 16)
    aead._finish(state, key, tag, 0)
    return bytes(tag)


def sealed(key, device, epoch, boot, seq, kind, payloads):
    """Packets of one boot, in order from `seq` on."""
    sealer = FrameSealer(unhexlify(key), device, epoch, boot)
    sealer.seq = seq
    out = b""
    for payload in payloads:
        payload = unhexlify(payload)
        sealer.payload[: len(payload)] = payload
        out += bytes(memoryview(sealer.packet)[: sealer.seal(kind, len(payload))])
    return out


QUESTIONS = {"packet": packet, "ratchet": ratchet, "poly1305": poly1305, "sealed": sealed}
print(json.dumps([hexlify(QUESTIONS[name](*given)).decode() for name, given in json.loads(sys.stdin.read())]))
