"""ML-KEM (FIPS 203) with the errors that the API answers."""

from typing import Any

from pericard_kms.errors import Invalid


def encapsulate(public: Any) -> tuple[bytes, bytes]:
    """(ciphertext, shared secret) of ML-KEM (FIPS 203, algorithm 20)."""
    shared, ciphertext = public.encapsulate()
    return bytes(ciphertext), bytes(shared)


def decapsulate(private: Any, ciphertext: bytes) -> bytes:
    """The shared secret (FIPS 203, algorithm 21); a changed ciphertext gives another secret, by design.

    Raises:
        Invalid: the ciphertext has not the length of this parameter set.
    """
    try:
        return bytes(private.decapsulate(ciphertext))
    except ValueError:
        raise Invalid("the ML-KEM ciphertext has the wrong length") from None
