"""The hospital's FHE keys: their files are ours alone, and what is not right is refused."""

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pericard_edge.confined import ConfinedExecutor, Limits, WorkerFailed
from pericard_edge.files import FileError
from pericard_protocol.fhe.objects import check_ciphertext, check_relinearisation_key, key_fingerprint
from pericard_protocol.fhe.parameters import MOMENTS
from pericard_server.analysis import encryption
from pericard_server.custody import fhe
from pericard_server.custody.fhe import FheKeys
from pericard_server.errors import KeyFileError


@pytest.fixture(scope="module")
def executor() -> Iterator[ConfinedExecutor]:
    with ConfinedExecutor(1, Limits()) as one:
        yield one


@pytest.fixture(scope="module")
def made(executor: ConfinedExecutor) -> FheKeys:
    return encryption.new_keys(executor)


def test_what_is_saved_is_loaded(made: FheKeys, tmp_path: Path) -> None:
    fhe.save_fhe_keys(made, tmp_path / "fhe")
    assert fhe.load_fhe_keys(tmp_path / "fhe") == made
    assert stat.S_IMODE((tmp_path / "fhe").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "fhe").iterdir()} == {0o600}


def test_keys_are_never_overwritten(made: FheKeys, tmp_path: Path) -> None:
    fhe.save_fhe_keys(made, tmp_path / "fhe")
    with pytest.raises(KeyFileError, match="exists already"):
        fhe.save_fhe_keys(made, tmp_path / "fhe")


def test_an_open_secret_key_is_refused(made: FheKeys, tmp_path: Path) -> None:
    fhe.save_fhe_keys(made, tmp_path / "fhe")
    (tmp_path / "fhe" / "secret.key").chmod(0o640)
    with pytest.raises(FileError, match="can be read by others"):
        fhe.load_fhe_keys(tmp_path / "fhe")


def test_a_missing_or_broken_key_is_refused(made: FheKeys, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        fhe.load_fhe_keys(tmp_path / "none")
    fhe.save_fhe_keys(made, tmp_path / "fhe")
    (tmp_path / "fhe" / "relinearisation.key").write_bytes(b"short")
    with pytest.raises(KeyFileError, match="length in bytes"):
        fhe.load_fhe_keys(tmp_path / "fhe")


def test_no_key_shows(made: FheKeys) -> None:
    assert len(repr(made)) < 400
    assert made.fingerprint == key_fingerprint(MOMENTS.name, made.relinearisation)


def test_two_sets_of_keys_differ(made: FheKeys, executor: ConfinedExecutor) -> None:
    assert encryption.new_keys(executor).secret != made.secret


def test_encryption_is_randomised_and_of_the_agreed_shape(made: FheKeys, executor: ConfinedExecutor) -> None:
    packs = np.zeros((2, MOMENTS.slots), np.complex128)
    one, other = executor.submit(encryption.encrypt, MOMENTS.name, made.public, packs.tobytes()).result()
    assert one != other
    for ciphertext in (one, other):
        check_ciphertext(ciphertext, MOMENTS, MOMENTS.fresh_primes)
    check_relinearisation_key(made.relinearisation, MOMENTS)


def test_pyfhel_stays_in_the_workers(made: FheKeys) -> None:
    """A process that imported it may crash when it ends: see pericard_edge.confined."""
    assert made.secret
    assert "Pyfhel" not in sys.modules


def test_a_fresh_ciphertext_is_no_result(made: FheKeys, executor: ConfinedExecutor) -> None:
    pack = np.zeros(MOMENTS.slots, np.complex128)
    fresh = executor.submit(encryption.encrypt, MOMENTS.name, made.public, pack.tobytes()).result()
    with pytest.raises(WorkerFailed, match="MisshapenObject"):
        executor.submit(encryption.decrypt, MOMENTS.name, made.public, made.secret, fresh).result()
