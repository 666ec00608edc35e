"""The command line: click commands and rich rendering, nothing else."""

from ticketkit.cli.app import main

__all__ = ["main"]
