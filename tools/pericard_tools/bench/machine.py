"""What each `pericard bench NAME --json` states beside its figures: the machine and the libraries."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine(*libraries: str) -> dict[str, Any]:
    """Cores that this process may use, processor, Python, and the versions of the named distributions."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in libraries},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return named[0] if named else platform.machine()
