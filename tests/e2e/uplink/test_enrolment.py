"""A gateway's certificate from invitation to revocation, between the real commands."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from tests.parts.certificates import CertificateAuthority
from tests.parts.hospital_process import HospitalProcess
from tests.parts.waiting import until
from tests.parts.ward import Ward, pericard_gateway

from pericard_server.fleet import authority as issuing
from pericard_server.fleet.authority import Authority

pytestmark = pytest.mark.slow


def _invite(hospital: HospitalProcess, folder: Path, name: str = "ward-1") -> Path:
    path = folder / "invitation"
    path.write_text(hospital.command("gateway", "invite", name))
    path.chmod(0o600)
    return path


def _enrol(hospital: HospitalProcess, ward: Ward, invitation: Path) -> subprocess.CompletedProcess[str]:
    words = ["enrol", "--server", f"127.0.0.1:{hospital.enrolment}", "--token-file", str(invitation)]
    config = ward.folder / "gateway.toml"
    return subprocess.run(
        [*pericard_gateway(*words), "--config", str(config)], capture_output=True, text=True
    )


def _unenrolled(ward: Ward) -> None:
    ward.configure()
    for name in ("tls.pem", "tls.key", "ca.pem", "identity.pem", "hospital.pem"):
        (ward.folder / name).unlink()


def test_an_invited_gateway_delivers_until_it_is_revoked(hospital: HospitalProcess, ward: Ward) -> None:
    hospital.start()
    _unenrolled(ward)
    invitation = _invite(hospital, ward.folder)
    done = _enrol(hospital, ward, invitation)
    assert (done.returncode, done.stdout) == (0, f"ward-1 is enrolled; remove {invitation}\n")
    assert _enrol(hospital, ward, invitation).returncode == 0  # the same key again: an answer may be lost
    for name in ("tls.key", "identity.pem"):
        assert (ward.folder / name).stat().st_mode & 0o777 == 0o600
    ward.configured = True
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    until(lambda: ward.status()["acked_frames"] == 1)

    hospital.command("gateway", "revoke", "ward-1")
    ward.lines[0].write(ward.devices[0].packet())
    until(lambda: "PERMISSION_DENIED" in ward.status()["uplink"])
    until(lambda: ward.status()["spool"]["frames"] == 1)  # sealed a moment after it was read, and kept
    assert hospital.stored() == [(1, 1, 0)]

    (ward.folder / "identity.pem").unlink()  # a thief of the invitation has other keys
    stolen = _enrol(hospital, ward, invitation)
    assert stolen.returncode == 1
    assert "the token was used before" in stolen.stderr


def test_an_invitation_is_for_one_gateway_and_of_one_hospital(hospital: HospitalProcess, ward: Ward) -> None:
    hospital.start()
    _unenrolled(ward)
    other = _enrol(hospital, ward, _invite(hospital, ward.folder, "ward-2"))
    assert (other.returncode, "the invitation is for 'ward-2'" in other.stderr) == (1, True)
    old = _invite(hospital, ward.folder).read_text()
    new = _invite(hospital, ward.folder)
    fresh = new.read_text()
    new.write_text(old)  # a newer invitation makes the older one void
    void = _enrol(hospital, ward, new)
    assert (void.returncode, "not one of an open invitation" in void.stderr) == (1, True)
    new.write_text("{}")
    assert "this is not an invitation" in _enrol(hospital, ward, new).stderr
    new.write_text(fresh)
    new.chmod(0o644)
    assert "chmod 600" in _enrol(hospital, ward, new).stderr
    new.chmod(0o600)
    (ward.folder / "hospital.pem").write_text("somebody else's")
    assert "is not the invitation's" in _enrol(hospital, ward, new).stderr


def test_a_certificate_is_renewed_before_it_ends(
    hospital: HospitalProcess, ward: Ward, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With five minutes before now, less than a third of its time is left from the start.
    monkeypatch.setattr(issuing, "VALID", timedelta(minutes=2))
    key = x509.load_pem_x509_certificate(ward.tls.certificate).public_key()
    ending = Authority(ward.tls.authorities, authority.private_key).issue("ward-1", key)  # type: ignore[arg-type]
    ward.tls = type(ward.tls)(ending, ward.tls.private_key, ward.tls.authorities)
    hospital.start()
    ward.start()
    until(lambda: "certificate renewed" in ward.log, lambda: ward.log)
    renewed = x509.load_pem_x509_certificate((ward.folder / "tls.pem").read_bytes())
    left = renewed.not_valid_after_utc - x509.load_pem_x509_certificate(ending).not_valid_after_utc
    assert left > timedelta(days=29)
    names = renewed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["ward-1"]
    assert ward.stop() == 0
    ward.tls = type(ward.tls)(
        (ward.folder / "tls.pem").read_bytes(), ward.tls.private_key, ward.tls.authorities
    )
    ward.start()
    ward.lines[0].write(ward.devices[0].packet())
    until(lambda: ward.status()["acked_frames"] == 1)
    assert "certificate renewed" not in ward.log.split("gateway stopped")[1]
