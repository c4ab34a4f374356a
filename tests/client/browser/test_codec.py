"""The browser's codec in Node, against the vectors that the product's code did not make."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "client" / "browser"


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
@pytest.mark.skipif(
    not (CLIENT / "node_modules" / ".bin" / "tsc").exists(), reason="npm's packages are not installed"
)
def test_the_browsers_codec_agrees_with_the_vectors() -> None:
    built = subprocess.run(
        [CLIENT / "node_modules/.bin/tsc", "-p", "tsconfig.node.json"],
        cwd=CLIENT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout
    done = subprocess.run(
        ["node", "--test", *map(str, sorted((CLIENT / "build" / "test").glob("*.test.js")))],
        capture_output=True,
        text=True,
        env=os.environ | {"PERICARD_VECTORS": str(ROOT / "tests/vectors/prediction")},
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "# pass 0" not in done.stdout
