"""The `pericard` command: this distribution's own commands and each installed domain's group.

A domain adds its group through the entry-point group `pericard.commands`.
"""

import sys
from importlib.metadata import EntryPoint, entry_points

import click

from pericard_protocol.errors import PericardError


class _Commands(click.Group):
    """Finds commands among the installed entry points, and turns Pericard's errors into exit code 1."""

    def _installed(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group="pericard.commands")}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._installed())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        point = self._installed().get(cmd_name)
        if point is None:
            return None
        command = point.load()
        if not isinstance(command, click.Command):
            raise click.ClickException(f"{cmd_name!r} is not a command of Pericard's: reinstall it")
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except PericardError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands)
@click.version_option(package_name="pericard-tools", prog_name="pericard")
def pericard() -> None:
    """Vital signs sealed from the sensor to the cloud that computes on them.

    Results go to stdout, logs to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.
    """


def main() -> None:
    """Runs the command line; the console script `pericard`."""
    sys.exit(pericard(prog_name="pericard"))
