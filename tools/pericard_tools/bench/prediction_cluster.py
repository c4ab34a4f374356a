"""Workers of dask.distributed on this machine: a scheduler and its workers, each a process of its own.

What is sent to a dask worker is unpickled, which is to run it: whoever reaches its port could. So all of them
show certificates of an authority that exists for this cluster alone, and take no other.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme

from pericard_tools.bench.shape import BenchFailed

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


@contextmanager
def cluster(workers: int) -> Iterator[Executor]:
    """An executor whose calls run in `workers` processes of a dask cluster.

    Raises:
        BenchFailed: distributed (pericard-cloud's extra `cluster`) is not installed, or nothing answers.
    """
    try:
        import dask
        from distributed import Client
        from distributed.security import Security
    except ModuleNotFoundError:
        raise BenchFailed("--cluster needs distributed: install pericard-cloud[cluster]") from None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pericard-cluster-")))
        files = _certificates(folder)
        tls = [word for name, path in files.items() for word in (f"--tls-{name}", str(path))]
        told = folder / "scheduler.json"
        scheduler = ("scheduler", "--host", "tls://127.0.0.1", "--port", "0", "--no-dashboard", "--no-show")
        stack.callback(_stop, _start(*scheduler, "--scheduler-file", str(told), *tls))
        _wait(told)
        for _ in range(workers):
            one = ("worker", "--scheduler-file", str(told), "--nthreads", "1", "--no-dashboard", "--no-nanny")
            place = ("--host", "127.0.0.1", "--local-directory", str(folder), "--protocol", "tls")
            stack.callback(_stop, _start(*one, *place, *tls))
        security = Security(  # type: ignore[no-untyped-call]
            tls_ca_file=str(files["ca-file"]),
            tls_client_cert=str(files["cert"]),
            tls_client_key=str(files["key"]),
            require_encryption=True,
        )
        client = stack.enter_context(
            Client(  # type: ignore[no-untyped-call]
                scheduler_file=str(told), security=security, timeout=_START_SECONDS, set_as_default=False
            )
        )
        client.wait_for_workers(workers, timeout=_START_SECONDS)
        # Equal calls are calls all the same: replies are drawn anew each time.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "256MB"}):
            yield client.get_executor(pure=False)


def _certificates(folder: Path) -> dict[str, Path]:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    files = {"ca-file": folder / "ca.pem", "cert": folder / "cert.pem", "key": folder / "key.pem"}
    authority.cert_pem.write_to_path(str(files["ca-file"]))
    leaf.cert_chain_pems[0].write_to_path(str(files["cert"]))
    leaf.private_key_pem.write_to_path(str(files["key"]))
    return files


def _start(*words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dask", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(told: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while not told.exists() or not told.read_text():
        if time.monotonic() > until:
            raise BenchFailed("the cluster's scheduler did not start")
        time.sleep(0.05)
