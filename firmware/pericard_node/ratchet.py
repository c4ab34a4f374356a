"""The epoch ratchet: key(e + 1) from key(e), one way, so that a stolen node opens nothing it sent before."""

import hashlib

MAX_EPOCH = 0xFFFF
_BLOCK_BYTES = 64  # SHA-256's


def next_key(key, epoch):
    """The 32-byte key of epoch + 1.

    HKDF-SHA256 (RFC 5869), no salt, info = "pericard epoch" ‖ epoch + 1 as u16, big-endian; one block of
    output is the whole key.
    """
    if not 0 <= epoch < MAX_EPOCH:
        raise ValueError("the last epoch is reached: provision the node again")
    pseudorandom = hmac_sha256(bytes(32), key)
    return hmac_sha256(pseudorandom, b"pericard epoch" + (epoch + 1).to_bytes(2, "big") + b"\x01")


def hmac_sha256(key, message):
    """RFC 2104 with SHA-256, for keys of at most 64 bytes."""
    padded = key + bytes(_BLOCK_BYTES - len(key))
    inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in padded))
    inner.update(message)
    outer = hashlib.sha256(bytes(octet ^ 0x5C for octet in padded))
    outer.update(inner.digest())
    return outer.digest()
