"""For every test: certificates from an authority that lives for the run, and Django's settings.

Django gets them only where the hospital domain is installed; the other domains have no Django.
"""

import datetime
import os
from importlib.util import find_spec

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pericard_protocol.channel import Identity

if find_spec("pericard_server"):
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pericard_server.settings")
    django.setup()


class Authority:
    """A certificate authority of the tests."""

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(name, self._key.public_key())
        self.certificate = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        ).sign(self._key, hashes.SHA256())

    def _builder(self, name: str, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )

    def issue(self, *names: str) -> Identity:
        """A key and a certificate for `names`: those with a colon as URIs, the others as DNS names."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(names[0] if names else "nobody", key.public_key())
        if names:
            kinds = [x509.UniformResourceIdentifier(n) if ":" in n else x509.DNSName(n) for n in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(kinds), critical=False)
        return Identity(
            certificate=builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM),
            private_key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            authorities=self.certificate.public_bytes(Encoding.PEM),
        )


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def other_authority() -> Authority:
    return Authority("somebody else's authority")
