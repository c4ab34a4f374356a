"""`python -m pericard_gateway` is `pericard gateway` where the tools are not installed (a small board)."""

from pericard_edge.command import run_alone
from pericard_gateway.cli import gateway

if __name__ == "__main__":
    run_alone(gateway, "python -m pericard_gateway")
