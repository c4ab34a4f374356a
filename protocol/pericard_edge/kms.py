"""A small client of the KMS's API, on the standard library alone.

It also opens files that the KMS sealed, so that no private key need lie readable on a disk.
"""

import http.client
import json
import os
import ssl
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from pericard_edge import files
from pericard_protocol.errors import PeerError, Unavailable, UsageError

TOKEN = "PERICARD_KMS_TOKEN"  # noqa: S105 - the variable's name
_ENTRIES = 1000


def base64_text(raw: bytes) -> str:
    """Bytes as the KMS's API has them in JSON: in base64."""
    return b64encode(raw).decode()


class KmsUnreachable(Unavailable):
    """The KMS does not answer now."""


class KmsNotServing(Unavailable):
    """The KMS answered that it cannot serve now: it is sealed, or its storage fails."""


class BadKmsAddress(UsageError):
    """The KMS's address, or the CA of its certificate, cannot be used."""


class NoToken(UsageError):
    """The environment holds no token for the KMS."""


class TokenDenied(UsageError):
    """The KMS does not let our token do what we need: another token or policy mends that, time does not."""

    def __init__(self, what: str, policy: str) -> None:
        super().__init__(
            f"the KMS denies {what}: the token in {TOKEN} is over or revoked, or lacks the policy `{policy}`;"
            f" `pericard kms roles` writes the policies, `pericard kms token --policy {policy}` makes a token"
        )


class KmsRefused(PeerError):
    """The KMS answered that it does not do what was asked; asking again changes nothing."""

    reason = "kms"

    def __init__(self, status: int, errors: list[str]) -> None:
        told = "; ".join(errors) or "not found"
        # 403 (RFC 9110, section 15.5.4): our token may not, or is not known; the KMS does not say which.
        self.denied = status == 403
        if self.denied:
            told += ": the token ended, was revoked or has another policy; make one: `pericard kms token`"
        super().__init__(f"the KMS refused ({status}): {told}")
        self.status = status


class KmsClient:
    """One connection to a KMS; threads may share it."""

    def __init__(self, address: str, token: str = "", ca: Path | None = None) -> None:
        """Does not connect yet.

        Raises:
            BadKmsAddress: the address is no http(s) URL, or the CA cannot be read.
        """
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise BadKmsAddress(f"the KMS's address is an http or https URL, not {address!r}")
        self._address, self._token = address, token
        self._one_at_a_time = threading.Lock()
        if parts.scheme == "http":
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port or 8200, timeout=60)
        else:
            try:
                context = ssl.create_default_context(cafile=ca)
            except OSError as error:
                raise BadKmsAddress(f"cannot read the CA {ca}: {error}") from None
            self._connection = http.client.HTTPSConnection(
                parts.hostname, parts.port or 8200, timeout=60, context=context
            )

    @classmethod
    def of_environment(cls, address: str, ca: Path | None, policy: str) -> "KmsClient":
        """A client with the environment's token; one of `policy` is what its work needs.

        Raises:
            NoToken: there is none.
            BadKmsAddress: as above.
        """
        if not (token := os.environ.get(TOKEN)):
            raise NoToken(f"set {TOKEN} to a token: `pericard kms token --policy {policy}`")
        return cls(address, token, ca)

    def __enter__(self) -> "KmsClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; the next call opens one again."""
        self._connection.close()

    def raw(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """(status, answer) of one request.

        Raises:
            KmsUnreachable: the KMS cannot be reached.
        """
        data = None if body is None else json.dumps(body)
        with self._one_at_a_time:
            return self._exchange(method, path, data)

    def _exchange(self, method: str, path: str, data: str | None) -> tuple[int, dict[str, Any]]:
        try:
            self._connection.request(
                method, "/v1/" + quote(path, "/?&=%"), data, {"X-Vault-Token": self._token}
            )
            response = self._connection.getresponse()
            answer = json.loads(response.read() or b"{}")
            if not isinstance(answer, dict):
                raise ValueError("its answer is no JSON object")
            return response.status, answer
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            raise KmsUnreachable(f"no answer from the KMS at {self._address}: {error}") from None

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The data of an answer, or the whole answer when it has no envelope.

        Raises:
            KmsRefused: the KMS does not do it.
            KmsUnreachable, KmsNotServing: it cannot be reached, or cannot serve now.
        """
        status, answer = self.raw(method, path, body)
        if status >= 400:
            errors = [str(text) for text in answer.get("errors", [])]
            # 5xx speaks of the KMS (RFC 9110, section 15.6): it says nothing about what was asked.
            if status >= 500:
                told = "; ".join(errors) or "no reason given"
                if status == 503:  # Vault's status of a sealed KMS
                    told += ": its keepers open it with `pericard kms unseal`"
                raise KmsNotServing(f"the KMS cannot serve now ({status}): {told}")
            raise KmsRefused(status, errors)
        data = answer.get("data")
        return data if isinstance(data, dict) else answer

    def audit_entries(self, size: int) -> Iterator[str]:
        """The first `size` audit leaves, as they were hashed."""
        start = 0
        while start < size:
            query = urlencode({"start": start, "stop": min(start + _ENTRIES, size)})
            entries = self.call("GET", f"sys/audit-log/entries?{query}")["entries"]
            if not entries:
                raise KmsRefused(500, [f"the log gave no entry {start}"])
            yield from entries
            start += len(entries)


_SEALED = b"vault:v"


def seal_file(client: KmsClient, key: str, path: Path) -> None:
    """Replaces a private file by its sealed form, which only the KMS opens, under transit key `key`.

    The file's name is bound in: a sealed file does not open under another name.
    """
    body = {"plaintext": base64_text(path.read_bytes()), "associated_data": base64_text(path.name.encode())}
    files.write(path, str(client.call("POST", f"transit/encrypt/{key}", body)["ciphertext"]).encode())


def read_sealed(client: KmsClient, key: str, path: Path, what: str) -> bytes:
    """The content of a file that `seal_file` wrote.

    Raises:
        FileError: it cannot be read, is open to others, or is not sealed.
        KmsRefused, Unavailable: the KMS does not open it.
    """
    found = files.read_secret(path, what)
    if not found.startswith(_SEALED):
        raise files.FileError(
            f"{what} {path} is not sealed: seal it with `pericard kms key seal-file {key} FILE`"
        )
    body = {"ciphertext": found.decode(errors="replace"), "associated_data": base64_text(path.name.encode())}
    return b64decode(client.call("POST", f"transit/decrypt/{key}", body)["plaintext"])
