"""Issues gateways' certificates under the hospital's own authority. No database, no network."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pericard_server.errors import AuthorityError

# A gateway renews when a third is left: ten days to notice that it cannot.
VALID = datetime.timedelta(days=30)
_CLOCK_SKEW = datetime.timedelta(minutes=5)


class Authority:
    """The certificate and the key that vouch for gateways."""

    def __init__(self, certificates: bytes, private_key: bytes) -> None:
        """Both are PEM; the authority's certificate is the one of the key among `certificates`.

        Raises:
            AuthorityError: the key is none, or belongs to no certificate.
        """
        try:
            key = load_pem_private_key(private_key, password=None)
            known = x509.load_pem_x509_certificates(certificates)
        except (ValueError, TypeError):
            raise AuthorityError("the authority's key or certificate is not PEM: check [enrolment]") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AuthorityError("the authority's key must be of an elliptic curve")
        mine = [one for one in known if one.public_key() == key.public_key()]
        if not mine:
            raise AuthorityError("the authority's key belongs to none of the certificates in [tls] ca")
        self._certificate, self._key = mine[0], key

    def issue(self, name: str, key: ec.EllipticCurvePublicKey) -> bytes:
        """A client certificate for gateway `name`, PEM, valid for 30 days."""
        now = datetime.datetime.now(datetime.UTC)
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + VALID)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)  # digital signature only
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, SHA256())
        )
        return certificate.public_bytes(Encoding.PEM)
