"""Set-up: silent, one at a time, a failure names its log; the 32-bit MicroPython comes by its pinned hash."""

import contextlib
import functools
import http.server
import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()


def _run(*command: Path | str, **how: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **how)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with the set-up scripts and the 32-bit MicroPython's, and logs of its own."""
    shutil.copytree(ROOT / "tools/setup", tmp_path / "tools/setup")
    (tmp_path / "tests/firmware").mkdir(parents=True)
    shutil.copy(ROOT / "tests/firmware/arm32", tmp_path / "tests/firmware")
    return tmp_path


# --- one step


def test_a_step_that_succeeds_says_one_line_and_keeps_the_rest(house: Path) -> None:
    done = _run(
        "tools/setup/step", "pots", "0", "firing pots", "sh", "-c", "echo hot; echo odd >&2", cwd=house
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "firing pots\n")
    assert (house / ".setup/pots.log").read_text() == "hot\nodd\n"


def test_a_step_that_fails_prints_the_end_and_the_name_of_its_log(house: Path) -> None:
    command = "seq 100; echo 'no clay' >&2; exit 3"
    done = _run("tools/setup/step", ".venv/pots", "180", "firing pots", "sh", "-c", command, cwd=house)
    assert done.returncode == 3
    first, *end, last = done.stderr.splitlines()
    assert first == "firing pots (about 3 min)"
    assert end == [*map(str, range(82, 101)), "no clay"]
    named = re.search(r"all of it in (\S+)$", last)
    assert named
    assert Path(named[1]).read_text().startswith("1\n2\n")
    assert "failed (3): firing pots" in last


def test_a_terminal_shows_the_time_that_has_passed(house: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        ["tools/setup/step", "pots", "180", "firing pots", "sleep", "1.5"],
        stderr=theirs,
        cwd=house,
        timeout=60,
    )
    os.close(theirs)
    said = ""
    with contextlib.suppress(OSError):  # Linux says EIO at the end of a pseudo-terminal
        while chunk := os.read(ours, 4096):
            said += chunk.decode()
    os.close(ours)
    assert done.returncode == 0
    assert "\rfiring pots (about 3 min) 0:01" in said
    assert said.endswith("\r\x1b[K")  # nothing stays on the screen


# --- once for all


def _once(house: Path, *command: str) -> list[str]:
    return ["tools/setup/once", "kiln/.stamp", "clay", "--", *command]


def test_of_two_set_ups_at_once_the_second_finds_it_done(house: Path) -> None:
    (house / "clay").touch()
    command = _once(house, "sh", "-c", "sleep 1; echo fired >>pots")
    both = [subprocess.Popen(command, cwd=house) for _ in range(2)]
    assert [one.wait(60) for one in both] == [0, 0]
    assert (house / "pots").read_text() == "fired\n"


def test_what_failed_is_done_again(house: Path) -> None:
    (house / "clay").touch()
    assert _run(*_once(house, "false"), cwd=house).returncode == 1
    assert not (house / "kiln/.stamp").exists()
    assert _run(*_once(house, "touch", "pots"), cwd=house).returncode == 0
    assert (house / "pots").exists()


def test_an_edit_meanwhile_is_not_missed(house: Path) -> None:
    (house / "clay").touch()
    assert _run(*_once(house, "sh", "-c", "sleep 0.1; touch clay"), cwd=house).returncode == 0
    assert _run(*_once(house, "touch", "pots"), cwd=house).returncode == 0
    assert (house / "pots").exists()


def test_make_is_quiet_where_nothing_is_to_do() -> None:
    _, _, name = Path(sys.prefix).name.partition("-")  # .venv, or .venv-python3.12
    make = ["make", "dev", *([f"PYTHON={name}"] if name else [])]
    # An outer make's flags and jobs are not ours.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    _run(*make, cwd=ROOT, env=environment)  # brings up to date what an edit made stale
    started = time.monotonic()
    done = _run(*make, cwd=ROOT, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - started < 5


# --- the 32-bit MicroPython


class _Mirror:
    """A Debian mirror on loopback, and the apt of a machine that has it among its sources."""

    def __init__(self, folder: Path) -> None:
        self.pool = folder / "mirror/debian/pool"
        self.pool.mkdir(parents=True)
        handler = functools.partial(_Quiet, directory=str(folder / "mirror"))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.sources = folder / "sources.list"
        self.sources.write_text(f"deb http://127.0.0.1:{self.server.server_port}/debian bookworm main\n")
        apt = folder / "apt.conf"
        apt.write_text(
            f'Dir::Etc::SourceList "{self.sources}";\nDir::Etc::SourceParts "/dev/null";\n'
            'Acquire::http::Proxy "DIRECT";\nAcquire::Retries "0";\n'
        )
        self.environment = {**os.environ, "APT_CONFIG": str(apt), "XDG_CACHE_HOME": str(folder / "cache")}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def mirror(house: Path) -> Iterator[_Mirror]:
    """A mirror with one package, an "emulator" that says how it was called; the pins name it."""
    if not shutil.which("dpkg-deb") or not Path("/usr/lib/apt/apt-helper").exists():
        pytest.skip("this machine has no apt")
    mirror = _Mirror(house)
    package = house / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN/control").write_text(
        "Package: emulator\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: a test\n"
    )
    (package / "usr/bin").mkdir(parents=True)
    emulator = package / "usr/bin/qemu-arm-static"
    emulator.write_text('#!/bin/sh\necho "ran $4"\n')
    emulator.chmod(0o755)
    deb = mirror.pool / "emulator_1+x.deb"
    subprocess.run(["dpkg-deb", "--build", package, deb], check=True, capture_output=True, timeout=60)
    _pin(house, sha256(deb.read_bytes()).hexdigest(), "pool/emulator_1+x.deb")
    thread = threading.Thread(target=mirror.server.serve_forever)
    thread.start()
    yield mirror
    mirror.server.shutdown()
    mirror.server.server_close()
    thread.join()


def _pin(house: Path, digest: str, path: str) -> None:
    (house / "tests/firmware/arm32.pins").write_text(f"# pins\n{digest}  {path}\n")


def _arm32(house: Path, mirror: _Mirror) -> subprocess.CompletedProcess[str]:
    return _run(house / "tests/firmware/arm32", "answers.py", env=mirror.environment)


def test_a_pinned_package_comes_from_the_pool_of_the_machines_own_mirror(
    house: Path, mirror: _Mirror
) -> None:
    done = _arm32(house, mirror)
    assert (done.returncode, done.stdout) == (0, "ran answers.py\n"), done.stderr
    mirror.server.shutdown()  # from here on there is only the cache
    assert _arm32(house, mirror).stdout == "ran answers.py\n"


def test_a_package_that_is_not_the_pinned_one_is_a_failure(house: Path, mirror: _Mirror) -> None:
    _pin(house, "0" * 64, "pool/emulator_1+x.deb")
    done = _arm32(house, mirror)
    assert done.returncode == 1
    assert "Hash Sum mismatch" in done.stderr
    assert "find out why first" in done.stderr
    assert "/.setup/arm32.log" in done.stderr
    assert not list((house / "cache/pericard/arm32").glob("*/usr"))


def test_a_package_that_is_gone_is_a_failure_that_says_what_to_do(house: Path, mirror: _Mirror) -> None:
    _pin(house, "0" * 64, "pool/emulator_0.deb")
    done = _arm32(house, mirror)
    assert done.returncode == 1
    assert "404" in done.stderr
    assert "tests/firmware/arm32-pin" in done.stderr


def test_only_a_machine_without_a_mirror_skips(house: Path, mirror: _Mirror) -> None:
    mirror.sources.write_text("")
    done = _arm32(house, mirror)
    assert (done.returncode, done.stderr) == (
        77, "skipped: no Debian mirror among this machine's apt sources\n"
    )  # fmt: skip


def test_every_pin_is_a_hash_and_a_path_and_no_host() -> None:
    lines = (ROOT / "tests/firmware/arm32.pins").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins
    for pin in pins:
        assert re.fullmatch(r"[0-9a-f]{64}  pool/main/[\w.+~/-]+_(armhf|amd64)\.deb", pin), pin


# --- the Pythons


def test_every_distribution_names_the_pythons_that_are_tested() -> None:
    stated = re.search(r"^PYTHONS := (.*)$", MAKEFILE, re.MULTILINE)
    assert stated
    versions = [name.removeprefix("python") for name in stated[1].split()]
    found = sorted(path for path in ROOT.glob("*/pyproject.toml")) + sorted(ROOT.glob("*/*/pyproject.toml"))
    assert found
    for path in found:
        project = tomllib.loads(path.read_text())["project"]
        assert project["requires-python"] == f">={versions[0]}", path
        assert project["classifiers"] == [f"Programming Language :: Python :: {v}" for v in versions], path
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in versions
