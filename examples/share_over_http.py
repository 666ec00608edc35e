"""Share a folder of tickets over HTTP, and use it from there: list it, look at a ticket, fetch one, stretch it.

    python examples/share_over_http.py

Any web server will do; here it is Python's own, on this machine. It writes into a temporary folder alone.
"""

import argparse
import tempfile
import threading
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import ticketkit
from ticketkit.sharing import read_remote_header, resolve
from ticketkit.sharing.zoo import Wanted
from ticketkit.sharing.zoo_files import read_zoo


class Quiet(SimpleHTTPRequestHandler):
    """Gives the files of a folder."""

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file, as far as it is wanted: without ranges, who reads a header hangs up behind it."""
        with suppress(ConnectionError):
            super().copyfile(source, outputfile)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "zoo", help="What to share.")
    parser.add_argument("--to", default="resnet56", help="What to stretch the ticket to.")
    arguments = parser.parse_args()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=arguments.folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"

    # What is there, by its index.
    zoo = read_zoo(url)
    for entry in zoo.zoo.tickets:
        print(f"{entry.name:<30} {entry.architecture:<20} {entry.sparsity:.2%} sparse, accuracy {entry.accuracy:.2%}")

    # To look at a ticket costs its header alone.
    (entry,) = zoo.zoo.select(Wanted(arch="resnet20"))
    header = read_remote_header(zoo.reference(entry))
    print(f"{entry.name}: {header.header_bytes:,} of {header.file_bytes:,} bytes read, found by", end=" ")
    print(f"{header.document.provenance.method}, level {header.document.provenance.level}")

    # A reference with an id: that ticket or none. The second time it comes from the cache, without a request.
    with tempfile.TemporaryDirectory() as cache:
        path = resolve(zoo.reference(entry), cache=cache)
        ticket = ticketkit.load_ticket(path)
        server.shutdown()
        assert resolve(zoo.reference(entry), cache=cache) == path

    print(f"{ticket}\n{ticketkit.stretch_ticket(ticket, arguments.to)}")
    server.server_close()


if __name__ == "__main__":
    main()
