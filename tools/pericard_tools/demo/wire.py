"""What an eavesdropper sees in the demo: on a board's line, and on the network between two parties."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self

_CHUNK = 1 << 16


class LineTap:
    """Counts what a board puts on its line: bytes, and frames by their closing 0x00."""

    def __init__(self) -> None:
        self.bytes = self.frames = 0
        self._packet = False

    def __call__(self, data: bytes) -> None:
        """Takes the next bytes."""
        self.bytes += len(data)
        for part in data.split(b"\0")[:-1]:
            self.frames += bool(part) or self._packet
            self._packet = False
        self._packet = bool(data.rpartition(b"\0")[2]) or (self._packet and b"\0" not in data)


class Wire:
    """The network: a TCP relay that passes everything on, counts it and keeps a copy.

    Listens on a free loopback port and relays each connection to `target` (host:port).

    `address` is where to connect instead; `capture` holds every byte of both directions afterwards.
    """

    def __init__(self, target: str, capture: Path) -> None:
        self.capture = capture
        self.bytes = 0
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._file = capture.open("wb", buffering=0)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._sockets = {self._listener}

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()
        self._file.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
            except OSError:  # we are closing, or the target has gone: the caller sees its connection end
                return
            for source, sink in ((near, far), (far, near)):
                thread = threading.Thread(target=self._relay, args=(source, sink), daemon=True)
                with self._lock:
                    self._sockets.add(source)
                    self._threads.append(thread)
                thread.start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                with self._lock:
                    self._file.write(data)
                    self.bytes += len(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
