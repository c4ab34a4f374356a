"""For every test: certificates from an authority that lives for the run, and Django's settings.

Django gets them only where the hospital domain is installed; the other domains have no Django.
"""

import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, settings
from tests.parts import liboqs_js as js

from pericard_edge import files
from pericard_protocol.channel import Identity

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


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A certificate authority of the tests."""

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(name, self._key.public_key())
        self.certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def _builder(self, name: str, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            # RFC 5280, section 4.2.1; from Python 3.13 on, ssl refuses what does not follow it
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )

    @property
    def private_key(self) -> bytes:
        """For a hospital that certifies its gateways itself."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def issue(self, *names: str) -> Identity:
        """A key and a certificate for `names`: those with a colon as URIs, the others as DNS names."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(names[0] if names else "nobody", key.public_key())
        if names:
            kinds = [x509.UniformResourceIdentifier(n) if ":" in n else x509.DNSName(n) for n in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(kinds), critical=False)
        return Identity(
            certificate=builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM),
            private_key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            authorities=self.certificate.public_bytes(Encoding.PEM),
        )


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def other_authority() -> Authority:
    return Authority("somebody else's authority")


@pytest.fixture(scope="session")
def liboqs_js() -> Iterator[js.LiboqsJs]:
    if why := js.missing():
        pytest.skip(why)
    peer = js.LiboqsJs()
    yield peer
    peer.stop()


class CloudProcess:
    """A real cloud, as `pericard cloud run` without the tools distribution: its own process."""

    def __init__(self, folder: Path, identity: Identity, **limits: float) -> None:
        (folder / "cloud.pem").write_bytes(identity.certificate)
        files.write(folder / "cloud.key", identity.private_key)
        (folder / "ca.pem").write_bytes(identity.authorities)
        (folder / "cloud.toml").write_text(
            '[listen]\naddress = "127.0.0.1:0"\n\n'
            '[tls]\ncertificate = "cloud.pem"\nkey = "cloud.key"\nca = "ca.pem"\n\n'
            '[clients]\nallowed = ["hospital.test", "other-hospital.test"]\n\n'
            "[metrics]\n\n"
            "[limits]\n" + "".join(f"{name} = {value}\n" for name, value in limits.items())
        )
        self.folder = folder
        self.ready_file = folder / "ready"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from pericard_cloud.cli import cloud; cloud(prog_name='cloud')"),
                *("run", "--config", folder / "cloud.toml", "--ready-file", self.ready_file),
            ],
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        self.log: list[str] = []
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self.wait_for(lambda: '"serving"' in "".join(self.log)):
            self.stop()
            raise AssertionError("the cloud did not start:\n" + "".join(self.log))
        (serving,) = (json.loads(line) for line in self.log if '"serving"' in line)
        self.pages = serving["pages"]
        self.address = self.ready_file.read_text()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._grown:
                self.log.append(line)
                self._grown.notify_all()

    def wait_for(self, said: Callable[[], bool]) -> bool:
        """Waits until the log makes `said` true."""
        with self._grown:
            return self._grown.wait_for(said, timeout=60)

    def refusals(self) -> dict[str, int]:
        """Refusals by reason, as the log has them so far."""
        lines = [json.loads(line) for line in self.log if line.startswith("{")]  # gRPC's core logs here, too
        return {line["reason"]: line["number"] for line in lines if line["event"] == "refused"}

    def workers(self) -> list[int]:
        """The process ids of its workers: children of its fork server."""
        below = {self.process.pid}
        found: list[int] = []
        for _ in range(2):
            below = {pid for parent in below for pid in _children(parent)}
            found = sorted(below)
        return found

    def stop(self) -> int:
        """Ends it and gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")  # each thread has those that it started
    return [int(child) for one in lists for child in one.read_text().split()]


@pytest.fixture(scope="session")
def start_cloud(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
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
