"""A process ends when it is told to, whatever gRPC waits for."""

import subprocess
import sys

import pytest

PROGRAM = """
import threading, time
from pericard_edge import serving
from pericard_edge.jsonlog import log_to_stderr

class Server:
    def stop(self, grace):
        assert grace == 0.1
        ended = threading.Event()
        {answer}
        return ended

log_to_stderr()
serving.GRACE_SECONDS, serving._MARGIN_SECONDS = 0.1, 0.1
{how}
print("went on")
"""
END = "serving.ended(Server()) or serving.leave()"
ENDS, NEVER = "ended.set()", ""
FAILING = """
try:
    raise ValueError
finally:
    END
"""


@pytest.mark.parametrize(
    ("answer", "how", "code", "printed"),
    [
        (ENDS, "END", 0, "went on\n"),
        (NEVER, "END", 0, ""),
        (NEVER, FAILING, 1, ""),
        (ENDS, FAILING, 1, ""),
    ],
)
def test_it_ends_with_or_without_the_servers_end(answer: str, how: str, code: int, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(answer=answer, how=how.replace("END", END))],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (code, printed)
    assert ("is left behind" in done.stderr) == (answer == NEVER)
