"""The `pericard` command: this distribution's own commands and each installed domain's group.

A domain adds its group through the entry-point group `pericard.commands`.
"""

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from pericard_edge.process import forbid_core_dumps
from pericard_protocol.errors import PericardError
from pericard_tools.errors import BadArgument


class InstalledCommands(click.Group):
    """Finds its commands among the installed entry points of one group, `points`."""

    def __init__(self, *given: Any, points: str, **named: Any) -> None:
        super().__init__(*given, **named)
        self._points = points

    def _installed(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self._points)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in order."""
        return sorted(self._installed())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands, each with its whole first sentence; click cuts it to one line."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(limit=1000)) for name, one in commands if one])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, loaded now; None where no installed domain has it.

        Where it needs a domain that is not installed, a command in its place says so.
        """
        point = self._installed().get(cmd_name)
        if point is None:
            return None
        try:
            command = point.load()
        except ModuleNotFoundError as error:
            return _needing(cmd_name, error.name or "a module")
        if not isinstance(command, click.Command):
            raise click.ClickException(f"{cmd_name!r} is not a command of Pericard's: reinstall it")
        return command


def _needing(name: str, module: str) -> click.Command:
    """A command that takes any argument and fails with the distribution that it lacks."""
    # Pericard's distributions are named as their packages are.
    distribution = module.partition(".")[0].replace("_", "-")

    def fail() -> None:
        raise click.ClickException(f"{name} needs {distribution}, which is not installed: install it first")

    return click.Command(
        name,
        callback=fail,
        help=f"(needs {distribution}, which is not installed)",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


class _Pericard(InstalledCommands):
    """Ends a command with code 1 at an error of Pericard's, and with 2, as click does, at a bad argument."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BadArgument as error:
            raise click.UsageError(str(error)) from error
        except PericardError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Pericard, points="pericard.commands")
@click.version_option(package_name="pericard-tools", prog_name="pericard")
def pericard() -> None:
    """Vital signs sealed from the sensor to the cloud that computes on them.

    Begin with `pericard demo`: the whole pipeline on this machine, without hardware.

    Results go to stdout, logs and progress to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.
    """


def main() -> None:
    """Runs the command line; the console script `pericard`."""
    forbid_core_dumps()
    sys.exit(pericard(prog_name="pericard"))
