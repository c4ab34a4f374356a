"""The demo's temporary world: an authority, certificates, configurations and the boards' flash folders."""

from dataclasses import dataclass
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
        """What the firmware names a sensor by default: a text that stands in every payload of this bed."""
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

[cloud]
address = "{cloud}"
name = "cloud"
"""

_GATEWAY = """
gateway_id = "{gateway}"
state = "gateway"
devices = "registry.json"
identity = "{gateway}.identity.pem"
pinned = "hospital.identity.pem"

[server]
address = "{server}"
name = "hospital"

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
        for name in ("hospital", "cloud", GATEWAY):
            certificate = authority.issue_cert(name)
            self._secret(f"{name}.key", certificate.private_key_pem.bytes())
            self._public(f"{name}.pem", b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        signer = MLDSA65PrivateKey.generate()
        private = signer.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._secret(f"{GATEWAY}.identity.pem", private)
        self.gateway_public = self._public(f"{GATEWAY}.identity.pub.pem", public)
        self.registry = folder / "registry.json"

    def board(self, bed: Bed) -> Path:
        """The folder that is this bed's board's flash."""
        flash = self.folder / "boards" / bed.patient
        flash.mkdir(parents=True, exist_ok=True)
        return flash

    def cloud_config(self) -> Path:
        """The cloud's configuration."""
        return self._public("cloud.toml", _CLOUD.encode())

    def server_config(self, cloud: str, suite: str) -> Path:
        """The hospital's, once the cloud's address is known."""
        return self._public("server.toml", _SERVER.format(cloud=cloud, suite=suite).encode())

    def gateway_config(self, server: str, ports: list[str], pinned: bytes) -> Path:
        """The gateway's, once the server's address, the ports and the hospital's identity key are known."""
        self._public("hospital.identity.pem", pinned)
        text = _GATEWAY.format(gateway=GATEWAY, server=server) + "".join(
            _PORT.format(path=one) for one in ports
        )
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
