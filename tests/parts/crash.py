"""A process that crashes where its operator allows core dumps, and whether the kernel wrote one."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

_ALLOWED = """
import os, resource
_, hard = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
"""


def dumps_core(program: str, folder: Path) -> bool:
    """Runs `program`, which calls os.abort(), in `folder`; whether the kernel says that it dumped core."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("this machine allows no core dump to anybody: there is nothing to forbid")
    process = subprocess.Popen(
        [sys.executable, "-c", _ALLOWED + program], cwd=folder, stderr=subprocess.DEVNULL
    )
    _, status = os.waitpid(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert os.WIFSIGNALED(status)
    return os.WCOREDUMP(status)
