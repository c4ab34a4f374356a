"""The gateway's TLS identity on disk: read for every connection, renewed before its certificate ends."""

import datetime
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pericard_edge import files
from pericard_edge.settings import TlsSettings
from pericard_gateway.errors import BadRenewal
from pericard_protocol.channel import CredentialError, Identity
from pericard_protocol.uplink.enrolment import certificate_request


class Credentials:
    """The three PEM files of the configuration's `[tls]`."""

    def __init__(
        self, tls: TlsSettings, gateway_id: str, read_secret: Callable[[Path, str], bytes] = files.read_secret
    ) -> None:
        """`read_secret` gives the private key's file its content."""
        self._tls, self._gateway_id, self._read_secret = tls, gateway_id, read_secret

    def identity(self) -> Identity:
        """What is on disk now.

        Raises:
            FileError, CredentialError: a file is missing, open to others, or not what it should be.
        """
        return self._tls.identity(self._read_secret)

    def validity(self) -> tuple[datetime.datetime, datetime.datetime]:
        """When the certificate begins and ends."""
        certificate = _certificate(self.identity().certificate)
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc

    def renewal(self, now: datetime.datetime) -> bytes | None:
        """A request for a new certificate when less than a third of the present one's time is left.

        It is for the same key: certificate and key stay a pair whenever the power fails.
        """
        begins, ends = self.validity()
        if ends - now > (ends - begins) / 3:
            return None
        key = load_pem_private_key(self.identity().private_key, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            return None  # not one that enrolment made: its owner renews it
        return certificate_request(self._gateway_id, key)

    def adopt(self, certificate: bytes) -> datetime.datetime:
        """Takes a renewed certificate (PEM) into use at the next connection; returns its end.

        Raises:
            BadRenewal: it is not a later one for our key and name.
        """
        present = self.identity()
        try:
            checked = Identity(certificate, present.private_key, present.authorities)
        except CredentialError as error:
            raise BadRenewal(f"the server's new certificate cannot be used: {error}") from None
        old, renewed = _certificate(present.certificate), _certificate(checked.certificate)
        if renewed.subject != old.subject or renewed.not_valid_after_utc <= old.not_valid_after_utc:
            raise BadRenewal("the server's new certificate is for another name, or does not last longer")
        files.write(self._tls.certificate, certificate)
        return renewed.not_valid_after_utc


def _certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(pem)[0]
