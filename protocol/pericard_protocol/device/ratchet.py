"""The epoch ratchet of a device key: the next key follows from the present one, never the one before.

Who steals a node cannot open what it sent in earlier epochs.
"""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pericard_protocol.device.frame import KEY_BYTES
from pericard_protocol.errors import UsageError

MAX_EPOCH = 0xFFFF
# A gateway follows a device that was out of reach for at most this many epochs: a bound on the work that a
# forged epoch number can cause.
MAX_AHEAD = 32


def advance(key: bytes, epoch: int, to: int) -> bytes:
    """The 32-byte key of epoch `to`, derived from the key of `epoch` step by step.

    key(e + 1) = HKDF-SHA256(key(e), no salt, info = "pericard epoch" ‖ e + 1 as u16, big-endian) (RFC 5869).

    Raises:
        UsageError: backwards, past the last epoch, or more than 32 steps.
    """
    if len(key) != KEY_BYTES or not 0 <= epoch <= to <= min(epoch + MAX_AHEAD, MAX_EPOCH):
        raise UsageError(f"no key of epoch {to} can be derived from one of epoch {epoch}")
    for step in range(epoch + 1, to + 1):
        info = b"pericard epoch" + step.to_bytes(2, "big")
        key = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)
    return key
