"""The device frame (docs/wire-format.md): built and sealed in one buffer, without allocation."""

from struct import pack_into

from pericard_node import cobs
from pericard_node.aead import TAG_BYTES, ChaCha20Poly1305

VERSION = 1
VITALS = 1
WAVEFORM = 2
STATUS = 3

HEADER_BYTES = 16
MAX_FRAME_BYTES = 512
MAX_PAYLOAD_BYTES = MAX_FRAME_BYTES - HEADER_BYTES - TAG_BYTES

# A boot number is given up long before seq would wrap at 2^32: up to 2^30 - 1 it is a small integer on a
# 32-bit board, which a counter in the send path has to be in order not to allocate.
MAX_SEQ = (1 << 30) - 1


class SequenceEnd(Exception):
    """This boot number has sealed all that it may: take a new one."""


class FrameSealer:
    """Seals the frames of one (key, device, boot), each under the next sequence number.

    The nonce is device ‖ boot ‖ seq. The boot number was persisted before this object was made and is never
    given again; seq counts from 0 and is advanced before the key is used, so that even a frame whose
    sending fails half-way leaves its number used. Hence no nonce ever repeats under a key.
    """

    def __init__(self, key, device, epoch, boot):
        """Sequence numbers start at 0: make one sealer per boot number, and `rekey` it for a new epoch."""
        self.frame = bytearray(MAX_FRAME_BYTES)
        self.payload = memoryview(self.frame)[HEADER_BYTES : HEADER_BYTES + MAX_PAYLOAD_BYTES]
        self.packet = bytearray(cobs.packet_bytes(MAX_FRAME_BYTES))
        self.seq = 0
        self._device = device
        self._boot = boot
        self.rekey(key, epoch)

    def rekey(self, key, epoch):
        """Goes on under another epoch's key; the sequence goes on too."""
        self._aead = ChaCha20Poly1305(key)
        pack_into(">BBHII", self.frame, 0, VERSION, 0, epoch, self._device, self._boot)

    def seal(self, kind, n):
        """Seals the first n bytes of `payload`; returns the length of the packet, which is in `packet`."""
        if n > MAX_PAYLOAD_BYTES:
            raise ValueError("the payload is too long for a frame")
        seq = self.seq
        if seq > MAX_SEQ:
            raise SequenceEnd
        self.seq = seq + 1
        frame = self.frame
        frame[1] = kind
        frame[12] = seq >> 24
        frame[13] = seq >> 16 & 255
        frame[14] = seq >> 8 & 255
        frame[15] = seq & 255
        self._aead.seal_frame(frame, n)
        return cobs.encode_into(frame, HEADER_BYTES + n + TAG_BYTES, self.packet)
