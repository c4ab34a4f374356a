"""Answers questions about the firmware's pure parts, on any Python: one JSON array on stdin, one on stdout.

Arguments: the firmware's folder. Bytes travel as hex.
"""

import json
import sys
from binascii import hexlify, unhexlify

sys.path.insert(0, sys.argv[1])

from pericard_node import cobs
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


def sealed(key, device, epoch, boot, kind, payloads):
    """Packets of one boot, in order."""
    sealer = FrameSealer(unhexlify(key), device, epoch, boot)
    out = b""
    for payload in payloads:
        payload = unhexlify(payload)
        sealer.payload[: len(payload)] = payload
        out += bytes(memoryview(sealer.packet)[: sealer.seal(kind, len(payload))])
    return out


QUESTIONS = {"packet": packet, "ratchet": ratchet, "sealed": sealed}
print(json.dumps([hexlify(QUESTIONS[name](*given)).decode() for name, given in json.loads(sys.stdin.read())]))
