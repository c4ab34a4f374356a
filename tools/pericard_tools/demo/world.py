"""The demo's temporary world: an authority, certificates, configurations and the boards' flash folders."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

GATEWAY = "ward-1"


@dataclass(frozen=True)
class Bed:
    """A patient with a pacemaker node."""

    patient: str
    device: int
    age: int

    @property
    def sensor_id(self) -> str:
        """The firmware's default name of the sensor, which is in every payload from this bed."""
        return f"ecg-{self.device:08x}"


BEDS = (Bed("patient-a", 1, 71), Bed("patient-b", 2, 64), Bed("patient-c", 3, 83))

_CLOUD = """
[listen]
address = "127.0.0.1:0"

[tls]
certificate = "cloud.pem"
key = "cloud.key"
ca = "ca.pem"

[clients]
allowed = ["hospital"]
"""

_SERVER = """
[listen]
address = "127.0.0.1:0"

[tls]
certificate = "hospital.pem"
key = "hospital.key"
ca = "ca.pem"

[records]
suite = "{suite}"

[kms]
address = "{kms}"
ca = "ca.pem"

[cloud]
address = "{cloud}"
name = "cloud"
"""

_GATEWAY = """
gateway_id = "{gateway}"
state = "gateway"
identity = "{gateway}.identity.pem"
pinned = "hospital.identity.pem"

[server]
address = "{server}"
name = "hospital"

[kms]
address = "{kms}"
ca = "ca.pem"
log_key = "{log_key}"
files_key = "{gateway}-files"
devices = {devices}

[tls]
certificate = "{gateway}.pem"
key = "{gateway}.key"
ca = "ca.pem"
"""

_PORT = """
[[ports]]
path = "{path}"
"""


class World:
    """The folder's files by name. Whoever made the folder removes it, and every key of the demo with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        # TLS keys are good for an hour only; the long-lived keys are in the KMS.
        ends = datetime.now(UTC) + timedelta(hours=1)
        for name in ("hospital", "cloud", "127.0.0.1", GATEWAY):
            certificate = authority.issue_cert(name, not_after=ends)
            self._secret(f"{name}.key", certificate.private_key_pem.bytes())
            self._public(f"{name}.pem", b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        signer = MLDSA65PrivateKey.generate()
        private = signer.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._secret(f"{GATEWAY}.identity.pem", private)
        self.gateway_public = self._public(f"{GATEWAY}.identity.pub.pem", public)

    def tls(self, end: str) -> Path:
        """The KMS's certificate ("cert") or key ("key")."""
        return self.folder / f"127.0.0.1.{'pem' if end == 'cert' else 'key'}"

    def board(self, bed: Bed) -> Path:
        """The folder that is this bed's board's flash."""
        flash = self.folder / "boards" / bed.patient
        flash.mkdir(parents=True, exist_ok=True)
        return flash

    def device_key(self, bed: Bed) -> tuple[bytes, bytes]:
        """The key in this bed's board, raw and as the board writes it down."""
        text = json.loads((self.board(bed) / "keystore.bin").read_bytes()[32:])["key"]
        return bytes.fromhex(text), text.encode()

    @property
    def short_lived_keys(self) -> set[Path]:
        """TLS keys that end with their certificates, within the hour, and so may lie in files."""
        return {self.folder / "cloud.key", self.tls("key")}

    def cloud_config(self) -> Path:
        """The cloud's configuration."""
        return self._public("cloud.toml", _CLOUD.encode())

    def server_config(self, cloud: str, kms: str, suite: str) -> Path:
        """The hospital's, once the addresses of cloud and KMS are known."""
        return self._public("server.toml", _SERVER.format(cloud=cloud, kms=kms, suite=suite).encode())

    def gateway_config(self, server: str, kms: str, log_key: str, ports: list[str], pinned: bytes) -> Path:
        """The gateway's, once the addresses, the ports and the hospital's identity key are known."""
        self._public("hospital.identity.pem", pinned)
        text = _GATEWAY.format(
            gateway=GATEWAY, server=server, kms=kms, log_key=log_key, devices=[bed.device for bed in BEDS]
        ) + "".join(_PORT.format(path=one) for one in ports)
        return self._public("gateway.toml", text.encode())

    def _public(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def _secret(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path
