"""A hospital for the tests of the server."""

from pathlib import Path

import pytest
from tests.parts.certificates import CertificateAuthority
from tests.parts.hospital import Hospital, make


@pytest.fixture
def hospital(tmp_path: Path, authority: CertificateAuthority) -> Hospital:
    return make(tmp_path, authority)
