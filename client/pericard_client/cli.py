"""The kit's command line. Its commands come with SEAL and numpy: they are imported once one is asked for."""

import click


class _Commands(click.Group):
    """The kit's commands."""

    def _load(self) -> None:
        from pericard_client.commands.keys import keys
        from pericard_client.commands.local import decrypt, encrypt
        from pericard_client.commands.online import doctor, models, predict

        for command in (keys, encrypt, decrypt, predict, models, doctor):
            self.add_command(command)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in order."""
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None where there is none."""
        self._load()
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands)
@click.version_option(package_name="pericard-client", prog_name="pericard-client")
def client() -> None:
    """Predictions by a model that never sees your features: keys, encryption and decryption stay here.

    Begin with `predict URL MODEL FEATURES`. Results go to stdout, progress to stderr. Exit codes: 0 done,
    1 failed, 2 wrong usage.
    """
