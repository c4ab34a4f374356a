"""`pericard server analyse` on a real hospital: right results are printed, all else is refused."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.parts.certificates import CertificateAuthority
from tests.parts.cloud import CloudProcess
from tests.parts.hospital import Hospital, make

from pericard_protocol.device.frame import FrameType
from pericard_protocol.proto.uplink_pb2 import OpenedFrame

pytestmark = pytest.mark.slow  # each starts the hospital as a process

RATES = [60, 70, 80.8, 90]  # a mean whose printed digits no noise can turn


def analysed(hospital: Hospital, *words: str) -> Any:
    return json.loads(hospital.command("analyse", "--json", *words).stdout)


def filled(folder: Path, authority: CertificateAuthority, cloud: str) -> Hospital:
    """A hospital with RATES of patient p-1, and the cloud at that address."""
    hospital = make(folder, authority, more=f'[cloud]\naddress = "{cloud}"\nname = "cloud.test"\n')
    certificate = authority.issue("hospital.test")
    (folder / "server.pem").write_bytes(certificate.certificate)
    (folder / "server.key").write_bytes(certificate.private_key)
    hospital.command("patient", "add", "p-1", "--device", "1")
    with hospital.running() as address:
        vitals = ({"age": 60, "heart_rate_bpm": r, "sensor_id": "s", "timestamp": 1} for r in RATES)
        received = int(time.time() * 1e6)
        hospital.deliver(
            address,
            [
                OpenedFrame(
                    device=1,
                    boot=1,
                    seq=seq,
                    type=FrameType.VITALS,
                    received_at_us=received + seq,
                    payload=json.dumps(one).encode(),
                )
                for seq, one in enumerate(vitals)
            ],
            "hospital.test",
        )
    return hospital


def refused(hospital: Hospital) -> Any:
    return json.loads(hospital.command("status", "--json").stdout)["refused"]


def test_right_results_are_printed(
    tmp_path: Path, authority: CertificateAuthority, cloud: CloudProcess
) -> None:
    hospital = filled(tmp_path, authority, cloud.address)
    report = analysed(hospital)
    assert report["validated"] is True
    (patient,) = report["patients"]
    assert patient["patient"] == "p-1"
    for found in (patient["fhe"], patient["clear"]):
        assert found["count"] == 4
        assert found["mean"] == pytest.approx(75.2, abs=1e-6)
        assert found["variance"] == pytest.approx(127.12, abs=1e-4)
    shown = hospital.command("analyse", "--patient", "p-1").stdout
    assert "p-1\t4 readings\tmean 75.2\t" in shown
    assert analysed(hospital, "--until", "2020-01-01")["patients"][0]["fhe"]["count"] == 0
    assert refused(hospital) == {}


def test_the_trend_is_computed_blindly_too(
    tmp_path: Path, authority: CertificateAuthority, cloud: CloudProcess
) -> None:
    """Readings a microsecond apart: as steep as a trend can be, and still found."""
    hospital = filled(tmp_path, authority, cloud.address)
    relation = analysed(hospital, "--covariance", "time")["covariance"]
    (patient,) = relation["patients"]
    hours = np.arange(len(RATES)) / 3600e6
    expected = np.cov(RATES, hours, ddof=0)[0, 1]
    assert patient["fhe"]["covariance"] == pytest.approx(expected, rel=1e-5)
    assert patient["fhe"]["correlation"] == pytest.approx(np.corrcoef(RATES, hours)[0, 1], abs=1e-5)
    assert patient["fhe"]["slope"] == pytest.approx(np.polyfit(hours, RATES, 1)[0], rel=1e-5)
    assert relation["checked_slots"] == 2 * analysed(hospital)["checked_slots"]
    assert "p-1\twith time\tcovariance " in hospital.command("analyse", "--covariance", "time").stdout


def test_a_wrong_result_is_refused_counted_and_not_printed(
    tmp_path: Path, authority: CertificateAuthority, liar: Any
) -> None:
    lying, link = liar
    hospital = filled(tmp_path, authority, link.address)

    def swap(result: Any) -> Any:
        one, other = result.results
        one.ciphertext, other.ciphertext = other.ciphertext, one.ciphertext
        return result

    lying.lie = swap
    done = hospital.command("analyse", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "must not be used" in done.stderr
    assert refused(hospital) == {"wrong result": 1}


def test_a_changed_row_is_refused_and_counted(
    tmp_path: Path, authority: CertificateAuthority, cloud: CloudProcess
) -> None:
    hospital = filled(tmp_path, authority, cloud.address)
    with closing(sqlite3.connect(tmp_path / "records.db")) as database, database:
        database.execute("UPDATE records_reading SET seq = 9 WHERE seq = 1")
    done = hospital.command("analyse", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "seq 9" in done.stderr
    assert "restore it from a backup" in done.stderr
    assert refused(hospital) == {"tampered row": 1}


def test_an_absent_cloud_and_an_unknown_patient_are_clear_errors(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    hospital = filled(tmp_path, authority, "127.0.0.1:1")
    done = hospital.command("analyse", check=False)
    assert done.returncode == 1
    assert "the cloud does not answer" in done.stderr
    done = hospital.command("analyse", "--patient", "p-9", check=False)
    assert done.returncode == 1
    assert "no patient 'p-9'" in done.stderr
