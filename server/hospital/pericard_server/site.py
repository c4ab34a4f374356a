"""Starts one hospital: its configuration, Django on its database, its keys and its records.

Everything that touches Django's models is imported here, after Django has its settings; and Django itself
once a command runs, since `--help` need not wait for it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pericard_edge import files
from pericard_protocol.errors import UsageError

if TYPE_CHECKING:
    from pericard_protocol.channel import Identity
    from pericard_server.config import HospitalSettings
    from pericard_server.custody.keys import HospitalKeys
    from pericard_server.fleet.authority import Authority
    from pericard_server.fleet.losses import Losses
    from pericard_server.records.store import Records

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The server's TOML configuration.",
)


@dataclass(frozen=True)
class Site:
    """What a command works on."""

    config: "HospitalSettings"
    keys: "HospitalKeys"

    def records(self) -> "Records":
        """The sealed readings; needs the keys."""
        from pericard_server.records.data_keys import DataKeys
        from pericard_server.records.store import Records

        return Records(DataKeys(self.keys), self.config.records.suite, self.losses())

    def losses(self) -> "Losses":
        """Which devices are lost."""
        from pericard_server.fleet.losses import Losses

        return Losses(self.keys)

    def identity(self) -> "Identity":
        """This server's TLS identity, as a server and towards the cloud."""
        return self.config.tls.identity(self.keys.read_secret)

    def authority(self) -> "Authority | None":
        """Who certifies gateways; None when the configuration has no [enrolment]."""
        from pericard_server.fleet.authority import Authority

        if self.config.enrolment is None:
            return None
        key = self.keys.read_secret(self.config.enrolment.authority_key, "authority key")
        return Authority(files.read(self.config.tls.ca, "tls.ca"), key)


def open_site(path: Path, *, migrate: bool = False) -> Site:
    """Reads the configuration and starts Django.

    Raises:
        ConfigError: the file is wrong; every fault with its line.
        UsageError: it cannot be read, or the database is not of this release.
    """
    import django
    from django.core.management import call_command
    from django.db import connections

    from pericard_edge.config import load_settings
    from pericard_server.config import HospitalSettings, database_url

    config = load_settings(path, HospitalSettings)
    os.environ["DATABASE_URL"] = database_url(config, path.parent)
    os.environ["DJANGO_SETTINGS_MODULE"] = "pericard_server.settings"
    os.umask(0o077)  # the database and its journal are nobody else's to read
    django.setup()
    if migrate:
        call_command("migrate", verbosity=0)
    else:
        from django.db.migrations.executor import MigrationExecutor

        plan = MigrationExecutor(connections["default"])
        if plan.migration_plan(plan.loader.graph.leaf_nodes()):
            raise UsageError(
                f"the database is new or of another release: run `pericard server init --config {path}`"
            )
    return Site(config, _keys(config))


def _keys(config: "HospitalSettings") -> "HospitalKeys":
    if config.kms is not None:
        from pericard_server.custody.kms import KmsKeys

        return KmsKeys(config.kms.address, config.kms.ca, config.kms.files_key)
    from pericard_protocol.uplink.providers import KemSettings, provider
    from pericard_server.custody.folder import KeyFolder

    assert config.keys is not None  # noqa: S101 - the configuration has one of the two
    return KeyFolder(config.keys.folder, provider((config.kem or KemSettings()).provider))
