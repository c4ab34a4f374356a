"""A hospital for the cloud's own tests, which run where no hospital is installed: a script around Pyfhel.

    sealer.py make FOLDER PACKS       keys, and so many encrypted packs of random values
    sealer.py open FOLDER FILE        decrypts a ciphertext to FILE.npy

It is a process of its own that leaves by os._exit, because Pyfhel corrupts the heap at a normal exit.
"""

import os
import sys
from pathlib import Path

import numpy as np
from Pyfhel import PyCtxt, Pyfhel

from pericard_protocol.fhe.parameters import MOMENTS


def make(folder: Path, packs: int) -> None:
    scheme = Pyfhel(context_params=MOMENTS.pyfhel_arguments())
    scheme.keyGen()
    scheme.relinKeyGen()
    (folder / "secret.key").write_bytes(scheme.to_bytes_secret_key("none"))
    (folder / "public.key").write_bytes(scheme.to_bytes_public_key("none"))
    (folder / "relinearisation.key").write_bytes(scheme.to_bytes_relin_key("none"))
    values = np.random.default_rng(7).uniform(-1, 1, (packs, MOMENTS.slots, 2)) @ [1, 1j]
    np.save(folder / "values.npy", values)
    for number, row in enumerate(values):
        (folder / f"{number}.ciphertext").write_bytes(scheme.encryptComplex(row).to_bytes("none"))


def open_(folder: Path, file: Path) -> None:
    scheme = Pyfhel(context_params=MOMENTS.pyfhel_arguments())
    scheme.from_bytes_public_key((folder / "public.key").read_bytes())
    scheme.from_bytes_secret_key((folder / "secret.key").read_bytes())
    np.save(file, scheme.decryptComplex(PyCtxt(pyfhel=scheme, bytestring=file.read_bytes(), scheme="ckks")))


if __name__ == "__main__":
    command, folder, argument = sys.argv[1:]
    make(Path(folder), int(argument)) if command == "make" else open_(Path(folder), Path(argument))
    os._exit(0)
