"""For every test: certificates from an authority that lives for the run, and Django's settings.

Django gets them only where the hospital domain is installed; the other domains have no Django.
"""

import os
import time
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.parts import liboqs_js as js
from tests.parts.certificates import CertificateAuthority
from tests.parts.cloud import CloudProcess

if find_spec("pericard_server"):
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pericard_server.settings")
    django.setup()

# Speed is no property of the code under test: a busy machine must not fail a search for counterexamples.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# Each of some hundred processes that tests start would else compile Django again: half of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

UNMARKED_SECONDS = 5.0
_PRESSURE_STEP = 2.0  # the kernel brings its totals up to date so often


def _crowded_seconds() -> float:
    """How long, ever, something here waited for a core or a disk; all the time where nothing tells that."""
    try:
        pressure = "".join(Path(f"/proc/pressure/{one}").read_text() for one in ("cpu", "io"))
    except OSError:
        return time.perf_counter()
    return (
        sum(int(line.rpartition("=")[2]) for line in pressure.splitlines() if line.startswith("some")) / 1e6
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fails a test that takes long and is not marked `slow`: `make test-fast` would not be fast any more.

    Two measures that a busy machine does not stretch: the CPU time of the test and of the processes that it
    ended, and the time that passed while nothing on the machine waited for a core or a disk. So work is found
    on any machine, a sleep on a free one, and no test is blamed for what others do beside it.
    """
    began, used, crowded = time.perf_counter(), sum(os.times()[:4]), _crowded_seconds()
    yield
    used, crowded = sum(os.times()[:4]) - used, _crowded_seconds() - crowded
    alone = time.perf_counter() - began - (crowded + _PRESSURE_STEP if crowded > 0.1 else 0.0)
    if max(used, alone) > UNMARKED_SECONDS and item.get_closest_marker("slow") is None:
        pytest.fail(
            f"took {max(used, alone):.1f} s of its own: make it faster, or mark it with pytest.mark.slow",
            pytrace=False,
        )


@pytest.fixture(scope="session")
def authority() -> CertificateAuthority:
    return CertificateAuthority()


@pytest.fixture(scope="session")
def other_authority() -> CertificateAuthority:
    return CertificateAuthority("somebody else's authority")


@pytest.fixture(scope="session")
def liboqs_js() -> Iterator[js.LiboqsJs]:
    if why := js.missing():
        pytest.skip(why)
    peer = js.LiboqsJs()
    yield peer
    peer.stop()


@pytest.fixture(scope="session")
def start_cloud(
    authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., CloudProcess]]:
    """Starts clouds with the limits given; those still running at the end are ended."""
    started: list[CloudProcess] = []

    def start(**limits: float) -> CloudProcess:
        started.append(
            CloudProcess(tmp_path_factory.mktemp("cloud"), authority.issue("cloud.test"), **limits)
        )
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.stop()


@pytest.fixture(scope="session")
def cloud(start_cloud: Callable[..., CloudProcess]) -> CloudProcess:
    return start_cloud()
