"""Sums and sums of squares of packed readings under CKKS: the functions that run in worker processes.

They take and return serialised objects. A job is folded in shards by any number of workers, then finished
by one. Slots are never rotated: the hospital adds the slots of a result itself, which spares it the rotation
keys (12 times the size of the one key needed here). Products are summed first, then relinearised once.

Pyfhel is imported inside the functions, because only workers may import it: see
`pericard_edge.confined`.
"""

import struct
import time
from collections.abc import Sequence
from typing import Any

from pericard_protocol.fhe.objects import check_ciphertext, check_relinearisation_key
from pericard_protocol.fhe.parameters import CkksParameters, parameter_set

MILLISECONDS = struct.Struct("<d")
_PRODUCT = 3  # polynomials of a product before relinearisation


def warm_up(parameters: str) -> tuple[bytes, ...]:
    """Makes SEAL's context, as `fold` and `finish` do first; shows that a worker can."""
    _Seal(parameter_set(parameters))
    return ()


def fold(parameters: str, ciphertexts: Sequence[bytes]) -> tuple[bytes, bytes, bytes]:
    """The sum of fresh ciphertexts and the sum of their squares (not relinearised), and the time it took."""
    seal = _Seal(parameter_set(parameters))
    start = time.process_time()  # of computing: the first call in a worker also loads the library
    primes = seal.parameters.fresh_primes
    total = seal.load(ciphertexts[0], primes)
    squares = seal.evaluator.square(total, in_new_ctxt=True)
    for data in ciphertexts[1:]:
        values = seal.load(data, primes)
        seal.evaluator.add(total, values)
        seal.evaluator.add(squares, seal.evaluator.square(values, in_new_ctxt=True))
    return total.to_bytes("none"), squares.to_bytes("none"), _since(start)


def finish(
    parameters: str, relinearisation_key: bytes, partials: Sequence[tuple[bytes, bytes]]
) -> tuple[bytes, bytes, bytes]:
    """Adds what `fold` gave, and brings both results to the smallest level; and the time it took."""
    seal = _Seal(parameter_set(parameters))
    start = time.process_time()  # of computing: the first call in a worker also loads the library
    check_relinearisation_key(relinearisation_key, seal.parameters)
    seal.evaluator.from_bytes_relin_key(relinearisation_key)
    primes = seal.parameters.fresh_primes
    total, squares = seal.load(partials[0][0], primes), seal.load(partials[0][1], primes, _PRODUCT)
    for more_total, more_squares in partials[1:]:
        seal.evaluator.add(total, seal.load(more_total, primes))
        seal.evaluator.add(squares, seal.load(more_squares, primes, _PRODUCT))
    seal.evaluator.relinearize(squares)
    seal.evaluator.rescale_to_next(squares)
    seal.evaluator.mod_switch_to_next(total)
    return total.to_bytes("none"), squares.to_bytes("none"), _since(start)


class _Seal:
    """SEAL's context of a parameter set: made from the allow-list, never from bytes of a client's."""

    def __init__(self, parameters: CkksParameters) -> None:
        from Pyfhel import PyCtxt, Pyfhel

        self.parameters = parameters
        self.evaluator = Pyfhel(context_params=parameters.pyfhel_arguments())
        self._ciphertext = PyCtxt

    def load(self, data: bytes, primes: int, polynomials: int = 2) -> Any:
        check_ciphertext(data, self.parameters, primes, polynomials)
        return self._ciphertext(pyfhel=self.evaluator, bytestring=data, scheme="ckks")


def _since(start: float) -> bytes:
    return MILLISECONDS.pack((time.process_time() - start) * 1e3)
