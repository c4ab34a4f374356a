"""Concrete ML beside us: it runs in an environment of its own, since it needs 6 GB and other versions.

`tools/concrete-ml` makes that environment. `concrete_peer.py` runs there and prints one JSON object.
"""

import json
import subprocess
import sys
from pathlib import Path

from pericard_tools.bench.shape import BenchFailed

_SCRIPT = Path(__file__).with_name("concrete_peer.py")
_SECONDS = 4 * 3600.0

Theirs = tuple[dict[str, float], str, dict[str, str | None]]


def concrete_ml(sizes: dict[str, tuple[int, int]]) -> Theirs:
    """Milliseconds of its server for one row, by size (trees, depth), on the same data in the same run.

    Returns:
        What was measured, why something was not, and its version.

    Raises:
        BenchFailed: it is installed, and what it printed is no report.
    """
    python = Path(sys.prefix).parent / ".envs" / "concrete-ml" / "bin" / "python"
    if not python.exists():
        return {}, "Concrete ML is not installed: run tools/concrete-ml", {"concrete-ml": None}
    command = [str(python), str(_SCRIPT), json.dumps(sizes)]
    try:
        done = subprocess.run(  # noqa: S603 - our own script
            command, stdout=subprocess.PIPE, timeout=_SECONDS, check=False, text=True
        )
        report = json.loads(done.stdout)
        found = {name: float(value) for name, value in report["ms"].items()}
        version = str(report["version"])
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchFailed(f"Concrete ML printed no report: {type(error).__name__}") from None
    return found, "Concrete ML did not compile this size", {"concrete-ml": version}
