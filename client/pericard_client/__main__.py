"""`pericard-client`, also where the tools with their command `pericard` are not installed."""

from pericard_client.cli import client
from pericard_edge.command import run_alone


def main() -> None:
    """Runs the command line; the console script `pericard-client`."""
    run_alone(client, "pericard-client")


if __name__ == "__main__":
    main()
