"""What pages share, without a site: addresses, database URLs, the key, the policy."""

import stat
import threading
from pathlib import Path

import pytest

from pericard_edge.files import FileError
from pericard_protocol.errors import UsageError
from pericard_web.database import database
from pericard_web.headers import POLICY, POLICY_WITH_WASM
from pericard_web.secret import secret_key


def _directives(policy: str) -> dict[str, str]:
    return dict(one.split(" ", 1) for one in policy.split("; "))


def test_the_policy_is_the_one_of_the_design() -> None:
    shown = _directives(POLICY)
    assert shown["default-src"] == "'none'"
    assert shown["script-src"] == "'self'"
    assert shown["frame-ancestors"] == shown["base-uri"] == "'none'"
    assert shown["require-trusted-types-for"] == "'script'"
    wasm = _directives(POLICY_WITH_WASM)
    assert {name: value for name, value in wasm.items() if shown.get(name) != value} == {
        "script-src": "'self' 'wasm-unsafe-eval'",
        "worker-src": "'self'",
    }


def test_a_database_is_sqlite_or_postgresql() -> None:
    assert database("sqlite:///var/a.db")["NAME"] == "/var/a.db"
    found = database("postgresql://user:p%40ss@db.example:5433/name?sslmode=verify-full")
    assert (found["USER"], found["PASSWORD"]) == ("user", "p@ss")
    assert (found["HOST"], found["PORT"], found["NAME"]) == ("db.example", "5433", "name")
    assert found["OPTIONS"] == {"sslmode": "verify-full"}
    assert database("postgresql://postgres@/postgres?host=/run/x")["HOST"] == "/run/x"
    with pytest.raises(UsageError) as caught:
        database("mysql://user:geheim@db/name")
    assert "geheim" not in str(caught.value)


def test_the_key_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    path, made = tmp_path / "secret", set[str]()
    threads = [threading.Thread(target=lambda: made.add(secret_key(path))) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert made == {secret_key(path)}
    assert len(made.pop()) >= 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(FileError):
        secret_key(path)
