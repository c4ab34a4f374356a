"""Finds the usual mistakes: a library that does not compute, files that others read, an absent portal."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pericard_client import seal
from pericard_client.keyring import Keyring
from pericard_client.portal import Portal
from pericard_protocol.errors import PericardError
from pericard_protocol.prediction import objects
from pericard_protocol.prediction.parameters import S1


@dataclass(frozen=True)
class Diagnosis:
    """What was looked at, whether it is well, and what there is to say."""

    what: str
    well: bool
    said: str


def examine(folder: Path, portal: Portal | None, *, token: bool) -> list[Diagnosis]:
    """Looks at everything; the portal only where one is given."""
    found = [_library(), _folder(folder)]
    if portal is not None:
        found.append(_reach(portal))
        if token:
            found.append(_token(portal))
    return found


def _library() -> Diagnosis:
    began = time.monotonic()
    secret, public = seal.make_keys(S1, ())
    slots = np.arange(S1.degree, dtype=np.uint64)
    objects.parse_keys(public)
    decrypted = secret.arithmetic.decrypt_fresh(secret.arithmetic.encrypt(slots))
    well = bool((decrypted == slots).all())
    took = f"keys, encryption and decryption agree, {time.monotonic() - began:.1f} s"
    return Diagnosis("SEAL", well, took if well else "it decrypts something else: install seal-python again")


def _folder(folder: Path) -> Diagnosis:
    try:
        ring = Keyring(folder)
        names = ring.names()
        for name in names:
            ring.get(name)
    except PericardError as error:
        return Diagnosis("keys", False, str(error))
    return Diagnosis("keys", True, f"{len(names)} in {folder}")


def _reach(portal: Portal) -> Diagnosis:
    try:
        models = portal.models()
    except PericardError as error:
        return Diagnosis("portal", False, str(error))
    return Diagnosis("portal", True, f"{len(models)} models")


def _token(portal: Portal) -> Diagnosis:
    try:
        account = portal.account()
    except PericardError as error:
        return Diagnosis("token", False, f"{error} (make a token on the account page)")
    return Diagnosis("token", True, f"that of {account.user}")
