"""Invariant: what was answered is there after kill -9; no version is made twice; a full disk is an error."""

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.parts.kms import KmsProcess, StartKms

from pericard_edge.kms import KmsClient
from pericard_kms.storage.audit_export import verify_export

DATA = base64.b64encode(b"heart").decode()


@pytest.fixture
def opened(process: KmsProcess) -> Any:
    """A client of the running process, unsealed; and what unseals it again."""
    with KmsClient(process.url) as client:
        made = client.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        client.call("PUT", "sys/unseal", {"key": made["keys"][0]})
    with KmsClient(process.url, made["root_token"]) as client:
        client.call("POST", "sys/mounts/transit", {"type": "transit"})
        client.call("POST", "transit/keys/k", {"exportable": True})
    return made


def again(process: KmsProcess, made: Any) -> Any:
    """Starts the killed process again and unseals it."""
    process.start()
    client = KmsClient(process.url, made["root_token"])
    client.call("PUT", "sys/unseal", {"key": made["keys"][0]})
    return client


def call_until_killed(process: KmsProcess, made: Any, answers: Any, step: Any) -> None:
    """Calls `step` over and over; what was answered is in `answers` when the process dies."""
    with KmsClient(process.url, made["root_token"]) as client:
        while True:
            try:
                answers.append(step(client))
            except Exception:
                return


@pytest.mark.slow
@pytest.mark.parametrize("work", ["rotation", "rewrap"])
def test_kill_9_loses_nothing_that_was_answered(process: KmsProcess, opened: Any, work: str) -> None:
    with KmsClient(process.url, opened["root_token"]) as client:
        first = client.call("POST", "transit/encrypt/k", {"plaintext": DATA})["ciphertext"]
    seen_versions: dict[str, str] = {}
    boxes, entries = [first], 0
    for crash in range(4):
        answers: list[str] = []

        def step(client: Any) -> Any:
            if work == "rotation":
                client.call("POST", "transit/keys/k/rotate", {})
                return client.call("POST", "transit/encrypt/k", {"plaintext": DATA})["ciphertext"]
            return client.call("POST", "transit/rewrap/k", {"ciphertext": first})["ciphertext"]

        workers = [
            threading.Thread(target=call_until_killed, args=(process, opened, answers, step))
            for _ in range(2)
        ]
        for worker in workers:
            worker.start()
        while len(answers) < 10 * (crash + 1):  # killed in the middle of the work, not before it
            workers[0].join(0.005)
        process.kill()
        for worker in workers:
            worker.join()
        boxes += answers
        with again(process, opened) as client:
            opened_boxes = client.call(
                "POST", "transit/decrypt/k", {"batch_input": [{"ciphertext": box} for box in boxes]}
            )["batch_results"]
            assert [item["plaintext"] for item in opened_boxes] == [DATA] * len(boxes)
            keys = client.call("GET", "transit/export/encryption-key/k")["keys"]
            assert sorted(map(int, keys)) == list(range(1, len(keys) + 1))
            assert len(set(keys.values())) == len(keys)
            assert {number: keys[number] for number in seen_versions} == seen_versions
            seen_versions = keys
            about = client.call("GET", "sys/audit-log/key")
            note = client.call("GET", "sys/audit-log/checkpoint")["checkpoint"]
            size = int(note.split("\n")[1])
            leaves = list(client.audit_entries(size))
            answered = sum('"path":"transit/re' in leaf or "/rotate" in leaf for leaf in leaves)
            assert answered >= len(answers)
            head = {"pericard_audit_export": 1, "origin": about["origin"], "public_key": about["public_key"]}
            lines = [json.dumps(head), *leaves, json.dumps({"checkpoint": note})]
            key = base64.b64decode(about["public_key"])
            assert verify_export([line + "\n" for line in lines], key).entries == size > entries
            entries = size


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Any]:
    """A file system of 96 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", folder], capture_output=True)
    if done.returncode:
        pytest.skip("skipped: this machine lets no test mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_is_a_clear_error_and_nothing_is_lost(small_disk: Any, start: StartKms) -> None:
    process = start(small_disk / "kms")
    with KmsClient(process.url) as client:
        made = client.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        client.call("PUT", "sys/unseal", {"key": made["keys"][0]})
    with KmsClient(process.url, made["root_token"]) as client:
        client.call("POST", "sys/mounts/transit", {"type": "transit"})
        box = client.call("POST", "transit/encrypt/k", {"plaintext": DATA})["ciphertext"]
        free = os.statvfs(small_disk)
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - 8192))
        refused = 0
        large = {"batch_input": [{"plaintext": DATA}] * 5000}  # its audit entry is a megabyte
        for _ in range(30):
            status, answer = client.raw("POST", "transit/encrypt/k", large)
            if status != 200:
                assert (status, "disk is full" in answer["errors"][0]) == (500, True)
                refused += 1
        assert refused
        ballast.unlink()
        assert client.call("POST", "transit/decrypt/k", {"ciphertext": box})["plaintext"] == DATA
        client.call("POST", "transit/encrypt/k", large)
        uses = client.call("GET", "transit/keys/k")["versions"]["1"]["uses"]
        assert uses == 1 + 5000 * (30 - refused) + 5000
    process.stop()
