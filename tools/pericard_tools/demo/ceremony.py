"""The demo's key ceremony: a fresh KMS initialised, unsealed, given its roles; its root token revoked."""

import json

from pericard_edge.kms import KmsClient
from pericard_tools.demo.world import GATEWAY, World
from pericard_tools.parties import Party, pericard

HOSPITAL_FILES = "hospital-files"
GATEWAY_FILES = f"{GATEWAY}-files"
_TTL = "1h"


class Ceremony:
    """Holds the ceremony when it is made, and keeps the tokens for the parties, in memory only."""

    def __init__(self, kms: Party, world: World) -> None:
        self.address = f"https://{kms.address}"
        self._ca = world.folder / "ca.pem"
        made = json.loads(self._kms({}, "init", "--shares", "3", "--threshold", "2", "--json"))
        for share in made["keys_base64"][:2]:
            self._kms({}, "unseal", typed=share)
        root = {"PERICARD_KMS_TOKEN": made["root_token"]}
        self._kms(root, "roles")
        with KmsClient(self.address, made["root_token"], self._ca) as client:
            client.call("POST", "sys/mounts/transit", {"type": "transit"})
            for name in (HOSPITAL_FILES, GATEWAY_FILES):
                client.call("POST", f"transit/keys/{name}", {})
            mine = f'path "transit/decrypt/{GATEWAY_FILES}" {{ capabilities = ["update"] }}'
            client.call("PUT", f"sys/policies/acl/{GATEWAY_FILES}", {"policy": mine})
        self.log_key = self._kms(root, "audit", "key").strip()  # noted now: leases are checked with it
        self._kms(root, "key", "seal-file", HOSPITAL_FILES, str(world.folder / "hospital.key"))
        own = [str(world.folder / f"{GATEWAY}.{name}") for name in ("key", "identity.pem")]
        self._kms(root, "key", "seal-file", GATEWAY_FILES, *own)
        self.server = self._token(root, "server")
        self.gateway = self._token(root, "gateway", GATEWAY_FILES, gateway=GATEWAY)
        self._officer = self._token(root, "key-officer")
        with KmsClient(self.address, made["root_token"], self._ca) as client:
            client.call("POST", "auth/token/revoke-self")

    def officer(self) -> KmsClient:
        """A connection of the key officer's, who provisions boards."""
        return KmsClient(self.address, self._officer["PERICARD_KMS_TOKEN"], self._ca)

    def _token(self, root: dict[str, str], *roles: str, gateway: str = "") -> dict[str, str]:
        words = [word for role in roles for word in ("--policy", role)]
        words += ["--gateway", gateway] if gateway else []  # no other gateway's leases
        return {"PERICARD_KMS_TOKEN": self._kms(root, "token", *words, "--ttl", _TTL).strip()}

    def _kms(self, environment: dict[str, str], *words: str, typed: str = "") -> str:
        where = ("kms", "--address", self.address, "--ca", str(self._ca))
        return pericard("key management", *where, *words, environment=environment, typed=typed)
