"""The commands that reach boards: emulate, flash, provision, update. Each imports its work once it runs."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pericard_tools.errors import BadArgument

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--directory",
    type=_FOLDER,
    default=Path("boards"),
    show_default=True,
    help="The folder in which each board has a folder that is its flash.",
)
@click.option("--recording", is_flag=True, help="First put the beats of the shipped ECG into each flash.")
@click.option("--waveform", is_flag=True, help="First put the samples of the shipped ECG into each flash.")
@click.option(
    "--replay",
    "replays",
    metavar="NAME=FILE",
    multiple=True,
    help="First put a file's beats into one board's flash: milliseconds from beat to beat, one a line.",
)
@click.option(
    "--speed",
    "speeds",
    metavar="[NAME=]FACTOR",
    multiple=True,
    help="Replay so many times faster, on all boards or on the named one. May be repeated.",
)
@_as_json
def emulate(
    names: tuple[str, ...],
    directory: Path,
    recording: bool,
    waveform: bool,
    replays: tuple[str, ...],
    speeds: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run virtual boards, one for each NAME, until Ctrl-C or SIGTERM.

    A virtual board is a folder as the flash and MicroPython as the processor. Prints each board's name and
    port, which flash, provision, mpremote and the gateway take as they take a real board's.
    """
    from pericard_tools.board.emulate import boards, hearts

    if speeds and not (recording or waveform or replays):
        raise click.UsageError(
            "--speed is for what is replayed: give --recording, --waveform or --replay too"
        )
    flashes = hearts(
        names,
        recording=recording,
        waveform=waveform,
        replays={name: Path(file) for name, file in _by_name(names, "--replay", replays)},
        speeds=_speeds(names, speeds),
    )
    ending = (signal.SIGTERM, signal.SIGINT)
    # Blocked before any thread starts, so that the signal waits for sigwait and ends every board in order.
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    with boards(directory, flashes) as running:
        for name, board in running.items():
            _print({"name": name, "port": board.port}, f"{name}\t{board.port}", as_json)
        signal.sigwait(ending)


@click.command()
@click.argument("ports", metavar="PORT...", nargs=-1, required=True)
@click.option(
    "--recording", is_flag=True, help="Also put the beats of the shipped ECG there, in place of a sensor."
)
@click.option("--waveform", is_flag=True, help='Also put its samples there, for SENSOR = "waveform".')
@click.option("--speed", type=float, help="Replay so many times faster.")
@click.option("--config", type=_EXISTING, help="Also put this file there, as the board's config.py.")
@click.option("--precompiled", is_flag=True, help="Compile the modules here: the board needs less memory.")
@_as_json
def flash(
    ports: tuple[str, ...],
    recording: bool,
    waveform: bool,
    speed: float | None,
    config: Path | None,
    precompiled: bool,
    as_json: bool,
) -> None:
    """Put the firmware on the boards at PORT..., real or virtual, and reset them.

    Only files that differ from the board's are written.
    """
    from pericard_tools.board.emulate import hearts
    from pericard_tools.board.flash import check_config, firmware_files
    from pericard_tools.board.flash import flash as flash_board

    if speed is not None and not (recording or waveform):
        raise click.UsageError("--speed is for what is replayed: give --recording or --waveform too")
    speeds = {} if speed is None else {"": speed}
    heart = hearts([""], recording=recording, waveform=waveform, replays={}, speeds=speeds)
    files = firmware_files() | heart[""]
    if config is not None:
        files["/config.py"] = check_config(config)
    total = sum(map(len, files.values())) * len(ports)
    written = {}
    with click.progressbar(length=total, label="flashing", file=sys.stderr) as bar:
        for port in ports:
            written[port] = flash_board(port, files, bar.update, compiled=precompiled)
    for port, count in written.items():
        told = f"{port}\t{count} of {len(files)} files written"
        _print({"port": port, "written": count, "files": len(files)}, told, as_json)


@click.command()
@click.argument("port")
@click.option("--device", type=int, required=True, help="The device's number; it is no secret.")
@click.option("--owner", required=True, help="Whose board it is: a text for people.")
@click.option("--age", type=int, required=True, help="The patient's age in years, for each reading.")
@click.option("--registry", type=_FILE, help="Make the key here, and add it to this gateway's devices file.")
@click.option(
    "--epoch", type=int, default=0, show_default=True, help="Which epoch a key made here begins with."
)
@click.option("--kms", metavar="URL", help="Have this KMS make the key. PERICARD_KMS_TOKEN holds a token.")
@click.option("--ca", type=_EXISTING, help="PEM of the CA that issued the KMS's certificate.")
@click.option("--update-key", type=_EXISTING, help="PEM of the Ed25519 key whose updates the board takes.")
@_as_json
def provision(
    port: str,
    device: int,
    owner: str,
    age: int,
    registry: Path | None,
    epoch: int,
    kms: str | None,
    ca: Path | None,
    update_key: Path | None,
    as_json: bool,
) -> None:
    """Give the board at PORT an identity and a new key.

    Either the KMS makes the key (--kms), or it is made here for a gateway's devices file (--registry).
    """
    from pericard_edge.kms import KmsClient
    from pericard_tools.board.provision import KmsSource, RegistrySource
    from pericard_tools.board.provision import provision as provision_board
    from pericard_tools.board.update import load_public_key

    if (registry is None) == (kms is None):
        raise click.UsageError("give either --kms, or --registry")
    source = (
        KmsSource(KmsClient.of_environment(kms, ca, "key-officer"))
        if kms
        else RegistrySource(registry or Path(), epoch)
    )
    public = load_public_key(update_key).public_bytes_raw() if update_key else None
    provision_board(port, device, owner, age, source, public)
    _print({"port": port, "device": device}, f"{port}\tdevice {device} provisioned", as_json)


@click.command()
@click.argument("ports", metavar="[PORT...]", nargs=-1)
@click.option("--key", type=_EXISTING, required=True, help="PEM of the Ed25519 signing key.")
@click.option(
    "--release",
    type=click.IntRange(1, 2**32 - 1),  # device.update.MAX_VERSION
    required=True,
    help="The update's number; nodes take only a higher one.",
)
@click.option("--output", type=_FILE, help="Write the update to this file, for a gateway's [updates].")
@_as_json
def update(ports: tuple[str, ...], key: Path, release: int, output: Path | None, as_json: bool) -> None:
    """Sign this version's firmware as an update for running nodes.

    With --output it becomes a file, which gateways bring to their nodes. With PORT... it is sent by cable to
    the nodes there, which restart with it.
    """
    from pericard_protocol.device.update import build
    from pericard_tools.board.update import load_key, update_files
    from pericard_tools.board.update import send as send_update

    if not ports and output is None:
        raise click.UsageError("give --output, or a PORT to send the update to")
    stream = build(update_files(), release, load_key(key)).stream
    if output is not None:
        try:
            output.write_bytes(stream)
        except OSError as error:
            raise BadArgument(f"{output} cannot be written: {error.strerror}") from None
        told = f"{output}\trelease {release}, {len(stream)} bytes"
        _print({"output": str(output), "release": release, "bytes": len(stream)}, told, as_json)
    if not ports:
        return
    with click.progressbar(length=len(stream) * len(ports), label="sending", file=sys.stderr) as bar:
        for port in ports:
            send_update(port, stream, bar.update)
    for port in ports:
        told = f"{port}\t{len(stream)} bytes sent; the node's status frames tell its version"
        _print({"port": port, "release": release, "bytes": len(stream)}, told, as_json)


def _print(result: dict[str, object], told: str, as_json: bool) -> None:
    """Prints a result as JSON, or as it is told to a person."""
    click.echo(json.dumps(result) if as_json else told)


def _by_name(names: tuple[str, ...], option: str, given: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The (name, value) of each NAME=VALUE."""
    for text in given:
        name, _, value = text.partition("=")
        if name not in names:
            raise click.UsageError(f"{option} {text}: no board of that name is among {', '.join(names)}")
        yield name, value


def _speeds(names: tuple[str, ...], given: tuple[str, ...]) -> dict[str, float]:
    """The factor for each board: its own, or the one for all."""
    for_all = [text for text in given if "=" not in text]
    try:
        found = {name: float(factor) for factor in for_all for name in names}
        return found | {
            name: float(factor)
            for name, factor in _by_name(names, "--speed", tuple(text for text in given if "=" in text))
        }
    except ValueError as error:
        raise click.UsageError(f"--speed: {error}") from None
