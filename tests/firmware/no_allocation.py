"""Seals a frame of every length with the heap locked. Argument: the firmware's folder."""

import sys

import micropython

sys.path.insert(0, sys.argv[1])

from pericard_node.frame import MAX_PAYLOAD_BYTES, VITALS, FrameSealer


def seal_every_length(sealer):
    """The lock raises MemoryError at the first allocation."""
    sealer.seal(VITALS, 16)
    micropython.heap_lock()
    for n in range(1, MAX_PAYLOAD_BYTES + 1):
        sealer.seal(VITALS, n)
    micropython.heap_unlock()
    return sealer.seq - 1


print(seal_every_length(FrameSealer(bytes(32), 1, 0, 1)), "frames, no allocation")
