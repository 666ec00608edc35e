"""A web server on this machine that gives one file, well or as badly as it is told to."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does.

    Attributes:
        content: The file.
        ranges: Whether it knows ranges.
        etag: The file's tag; None for none.
        sized: Whether it says how long the file is.
        claimed: The length that it says instead of the file's.
        cut_after: Bytes after which it cuts the first so many connections: (bytes, connections).
        gate: What each request waits for.
        answer: Takes a request over.
        requests: The heads of all requests, in order.
        sent: Bytes of all bodies.
    """

    content: bytes = b""
    ranges: bool = True
    etag: str | None = '"one"'
    sized: bool = True
    claimed: int | None = None
    cut_after: tuple[int, int] = (0, 0)
    gate: threading.Event | None = None
    answer: Callable[[BaseHTTPRequestHandler], bool] | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    sent: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(behaviour: Behaviour, wrap: Callable[[ThreadingHTTPServer], None] | None = None) -> Iterator[str]:
    """Serve until left; gives the server's URL, without a final slash."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fields = {name.title(): value for name, value in self.headers.items()}
            behaviour.requests.append(fields | {"path": self.path})
            if behaviour.gate is not None:
                behaviour.gate.wait(10)
            if behaviour.answer is not None and behaviour.answer(self):
                return
            _give(self, behaviour)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that leaves early is no error here."""

    server = Server(("127.0.0.1", 0), Handler)
    if wrap is not None:
        wrap(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        behaviour.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _give(request: BaseHTTPRequestHandler, behaviour: Behaviour) -> None:
    content, start, status = behaviour.content, 0, 200
    tag = behaviour.etag
    if tag is not None and request.headers["If-None-Match"] == tag:
        request.send_response(304)
        request.end_headers()
        return
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers["Range"] or "")
    if asked and behaviour.ranges and request.headers["If-Range"] in (None, tag):
        start, end = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        if start >= len(content):
            request.send_response(416)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        status, content = 206, content[start : end + 1]
    request.send_response(status)
    if tag is not None:
        request.send_header("ETag", tag)
    if behaviour.sized:
        request.send_header("Content-Length", str(len(content) if behaviour.claimed is None else behaviour.claimed))
    if status == 206:
        request.send_header("Content-Range", f"bytes {start}-{start + len(content) - 1}/{len(behaviour.content)}")
    request.end_headers()
    after, times = behaviour.cut_after
    if len(behaviour.requests) <= times:
        content = content[:after]
    behaviour.sent += len(content)
    request.wfile.write(content)


def drip(request: BaseHTTPRequestHandler, behaviour: Behaviour, content: bytes, *, every: float) -> None:
    """Send bytes one by one, until the client has gone."""
    for byte in content:
        if behaviour.stopping.is_set():
            return
        request.wfile.write(bytes([byte]))
        request.wfile.flush()
        time.sleep(every)
