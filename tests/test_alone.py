"""A domain's environment holds no other domain: the cloud could not import the hospital if it wanted to."""

import os
from importlib.util import find_spec

import pytest

DOMAINS = {"protocol", "gateway", "server", "kms", "cloud", "client", "web", "tools"}
SHARED = {"cloud": {"web"}}  # what a domain has pages by, and is no domain
ALONE = os.environ.get("PERICARD_ALONE")
pytestmark = pytest.mark.skipif(
    ALONE is None, reason="this environment holds every domain; `make test-alone` has the others"
)


@pytest.mark.skipif(
    ALONE is None, reason="this environment holds every domain; `make test-alone` has the others"
)
@pytest.mark.parametrize("domain", sorted(DOMAINS - {"protocol", ALONE} - SHARED.get(ALONE or "", set())))
def test_no_other_domain_is_installed(domain: str) -> None:
    assert find_spec(f"pericard_{domain}") is None


@pytest.mark.skipif(
    ALONE is None, reason="this environment holds every domain; `make test-alone` has the others"
)
def test_the_domain_itself_is() -> None:
    assert find_spec(f"pericard_{ALONE}") is not None
