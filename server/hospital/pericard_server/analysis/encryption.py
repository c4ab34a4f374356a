"""Keys, encryption and decryption under CKKS: the functions that run in the hospital's worker processes.

They take and return bytes and run in confined workers, because what `decrypt` parses comes from the cloud.
Pyfhel is imported inside them, because only workers may import it: see `pericard_edge.confined`. The
exception is `new_keys`: the server calls it, and it has a worker run `generate_keys`.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from pericard_protocol.fhe.objects import check_ciphertext
from pericard_protocol.fhe.parameters import MOMENTS, CkksParameters, parameter_set
from pericard_server.custody.fhe import FheKeys


def new_keys(executor: Executor, parameters: CkksParameters = MOMENTS) -> FheKeys:
    """New keys, made by a worker.

    Args:
        executor: where SEAL runs; a `ConfinedExecutor`.
        parameters: of the allow-list.
    """
    return FheKeys(parameters, *executor.submit(generate_keys, parameters.name).result())


def generate_keys(parameters: str) -> tuple[bytes, bytes, bytes]:
    """A new secret key, its public key and its relinearisation key. SEAL seeds itself from the system."""
    scheme = _scheme(parameters)
    scheme.keyGen()
    scheme.relinKeyGen()
    return (
        scheme.to_bytes_secret_key("none"),
        scheme.to_bytes_public_key("none"),
        scheme.to_bytes_relin_key("none"),
    )


def encrypt(parameters: str, public_key: bytes, packs: bytes) -> tuple[bytes, ...]:
    """Encrypts packs, complex128[number of packs, slots] as bytes, to one ciphertext each."""
    scheme = _scheme(parameters)
    scheme.from_bytes_public_key(public_key)
    values = np.frombuffer(bytearray(packs), np.complex128).reshape(-1, parameter_set(parameters).slots)
    return tuple(scheme.encryptComplex(pack).to_bytes("none") for pack in values)


def decrypt(
    parameters: str, public_key: bytes, secret_key: bytes, ciphertexts: Sequence[bytes]
) -> tuple[bytes, ...]:
    """Decrypts results, ciphertexts at the smallest level, to complex128[slots] as bytes each.

    Raises:
        MisshapenObject: a ciphertext is not of the shape of a result.
    """
    from Pyfhel import PyCtxt

    scheme = _scheme(parameters)
    scheme.from_bytes_public_key(public_key)  # not needed to decrypt, but Pyfhel insists
    scheme.from_bytes_secret_key(secret_key)
    values = []
    for data in ciphertexts:
        check_ciphertext(data, parameter_set(parameters), primes=1)
        values.append(scheme.decryptComplex(PyCtxt(pyfhel=scheme, bytestring=data, scheme="ckks")))
    return tuple(np.asarray(value, np.complex128).tobytes() for value in values)


def _scheme(parameters: str) -> Any:
    from Pyfhel import Pyfhel

    return Pyfhel(context_params=parameter_set(parameters).pyfhel_arguments())
