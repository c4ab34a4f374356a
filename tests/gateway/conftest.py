"""A gateway with a hospital to deliver to."""

from tests.parts.ward_fixtures import hospital, server_port, signer, ward

__all__ = ["hospital", "server_port", "signer", "ward"]
