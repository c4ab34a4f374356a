"""A TCP proxy between gateway and hospital that can be as bad as a network: slow, stalling, silent."""

import contextlib
import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Literal

Trouble = Literal["none", "latency", "loss", "resets", "half-open", "down"]

# An end of the connection without a word of goodbye: close sends RST.
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """`suffer` may be called at any time; it concerns what passes from then on."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._trouble: Trouble = "none"
        self._healed = threading.Event()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self.resets = 0
        self._threads[0].start()

    def suffer(self, trouble: Trouble) -> None:
        self._trouble = trouble
        (self._healed.clear if trouble == "half-open" else self._healed.set)()

    def end(self) -> None:
        self._ended.set()
        self.suffer("down")
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._trouble == "down":
                    _reset(near)
                    continue
                far = socket.create_connection(("127.0.0.1", self._server_port))
                for one in (near, far):
                    one.settimeout(0.1)
                link = threading.Thread(target=self._link, args=(near, far))
                self._threads.append(link)
                link.start()

    def _link(self, near: socket.socket, far: socket.socket) -> None:
        broken = threading.Event()
        back = threading.Thread(target=self._pump, args=(far, near, broken))
        back.start()
        self._pump(near, far, broken)
        back.join()
        _reset(near)
        far.close()

    def _pump(self, source: socket.socket, sink: socket.socket, broken: threading.Event) -> None:
        try:
            while not broken.is_set() and self._trouble != "down":
                try:
                    data = source.recv(16384)
                except TimeoutError:
                    continue
                if not data:
                    return
                if self._trouble == "latency":
                    self._ended.wait(0.5)
                elif self._trouble == "loss" and secrets.randbelow(4) == 0:
                    self._ended.wait(0.2 * 2 ** secrets.randbelow(3))  # TCP shows a loss as a late arrival
                elif self._trouble == "resets" and secrets.randbelow(6) == 0:
                    self.resets += 1
                    return
                elif self._trouble == "half-open":
                    self._healed.wait(120)  # takes what comes, passes nothing on, never closes
                    return
                sink.settimeout(10)
                sink.sendall(data)
                sink.settimeout(0.1)
        except OSError:
            pass
        finally:
            broken.set()


def _reset(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    one.close()


@contextlib.contextmanager
def proxied(server_port: int) -> Iterator[Proxy]:
    """A proxy in front of the hospital at `server_port`."""
    proxy = Proxy(server_port)
    try:
        yield proxy
    finally:
        proxy.end()
