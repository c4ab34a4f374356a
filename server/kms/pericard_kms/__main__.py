"""`python -m pericard_kms` is `pericard kms` where the tools are not installed, as on a host of its own."""

from pericard_edge.command import run_alone
from pericard_kms.cli import kms

if __name__ == "__main__":
    run_alone(kms, "python -m pericard_kms")
