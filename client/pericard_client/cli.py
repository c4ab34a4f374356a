"""The kit's command line."""

import click

from pericard_client.commands.keys import keys
from pericard_client.commands.local import decrypt, encrypt
from pericard_client.commands.online import doctor, models, predict


@click.group()
@click.version_option(package_name="pericard-client", prog_name="pericard-client")
def client() -> None:
    """Predictions by a model that never sees your features: keys, encryption and decryption stay here.

    Begin with `predict URL MODEL FEATURES`. Results go to stdout, progress to stderr. Exit codes: 0 done,
    1 failed, 2 wrong usage.
    """


for command in (keys, encrypt, decrypt, predict, models, doctor):
    client.add_command(command)
