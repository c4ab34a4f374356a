"""`python -m pericard_tools` is `pericard`."""

from pericard_tools.cli import main

main()
