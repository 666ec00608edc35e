"""Runs ``ticketkit`` commands for the blocks, each in a process that is forked where torch is imported already.

Pages have some hundred commands, and importing torch takes longer than most of them. The command itself is the real
one, ``ticketkit.cli.main``, with the arguments, folder, environment and streams of who called it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from types import TracebackType
from typing import Self

BROKEN = 70
"""The exit code of a command whose process ended without one."""

# What most commands import; torch among it, but nothing computes here: a process that has must not be forked.
_MODULES = ("find", "verify", "sweep", "data", "connect", "report", "cli.app", "interop")
_CLIENT = """\
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    request = {"words": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps(request).encode())
    server.shutdown(socket.SHUT_WR)
    answer = server.recv(1)
sys.exit(answer[0] if answer else %d)
"""


class Server:
    """A process that runs commands, from ``with`` to its end."""

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        self._folder = tempfile.TemporaryDirectory(prefix="blocks-")  # a socket's path must be short
        self._path = str(Path(self._folder.name) / "s")
        environment = os.environ | {"PYTHONUTF8": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        if self._process.stdout is None or not self._process.stdout.readline():
            message = "the process that runs commands must start"
            raise RuntimeError(message)
        client = Path(self._folder.name) / "client.py"
        client.write_text(_CLIENT % BROKEN, encoding="utf-8")
        self.words = [sys.executable, "-S", "-E", str(client), self._path]
        """The words that run a command, in front of its arguments."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it."""
        self._process.terminate()
        self._process.communicate()
        self._folder.cleanup()


def serve(path: str) -> None:
    """Listen at a socket, and run each command in a process of its own."""
    for name in _MODULES:
        importlib.import_module(f"ticketkit.{name}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            caller, _ = listener.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listener.close()
                _run(caller)
            caller.close()


def _run(caller: socket.socket) -> None:
    """Run what a caller wants, tell it the exit code, and end."""
    _, streams, _, _ = socket.recv_fds(caller, 1, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    request = json.loads(b"".join(iter(lambda: caller.recv(65536), b"")))
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    words = request["words"]
    extra: dict[str, list[str]] = json.loads(os.environ.pop("BLOCK_OPTIONS", "{}"))
    sys.argv = ["ticketkit", *words, *(extra.get(words[0], []) if words else [])]
    code = BROKEN
    try:
        from ticketkit.cli import main

        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        caller.send(bytes([code]))
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
