"""``python -m ticketkit``."""

from ticketkit.cli import main

if __name__ == "__main__":
    main()
