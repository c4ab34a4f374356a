"""docs/kms.md names key types that Vault does not have, and one of Vault's that is missing: both are true."""

import re

from tests.parts.documents import text_of

from pericard_kms.crypto.key_types import TYPES


def test_every_key_type_that_is_named_exists() -> None:
    (missing, more) = re.findall(r"No (`xchacha20[^;]*); more: ([^.]*)\.", text_of("docs/kms.md"))[0]
    for name in re.findall(r"`([\w/-]+)`", more):
        stem, _, sizes = name.rpartition("-")
        for size in sizes.split("/"):
            assert f"{stem}-{size}" in TYPES
    assert missing.strip("`") not in TYPES
