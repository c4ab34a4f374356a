"""When an epoch is over: after 2^20 frames, 24 hours or 1,024 starts, whichever is first."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.parts.micropython import FIRMWARE

DAY = 24 * 3600


@pytest.mark.parametrize(
    ("frames", "seconds", "starts", "over"),
    [
        (2**20 - 1, DAY - 1, 1023, False),
        (2**20, 0, 0, True),
        (0, DAY, 0, True),
        (0, 0, 1024, True),
        (0, -DAY, 0, False),  # power was lost, and with it the time
    ],
)
def test_an_epochs_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, frames: int, seconds: int, starts: int, over: bool
) -> None:
    monkeypatch.syspath_prepend(str(FIRMWARE))
    from pericard_node.keystore import Keystore  # type: ignore[import-not-found]

    record = {"device": 1, "epoch": 0, "key": "11" * 32, "owner": "", "age": 5, "clock": 0}
    body = json.dumps(record | {"boot": 10, "since": 1_800_000_000}).encode()
    path = tmp_path / "keystore.bin"
    path.write_bytes(hashlib.sha256(body).digest() + body)
    keystore = Keystore(str(path))
    assert "11" * 32 not in repr(keystore)
    assert keystore.epoch_is_over(frames, 1_800_000_000 + seconds, 10 + starts) is over
