"""Work in a process of its own, so that what this process sets for itself, such as its allocator, does not help it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Elsewhere(Generic[Q, A]):
    """A function in another process. It ends with this one.

    Args:
        make: Called there once, with the arguments; gives the function. It must be one of a module's own.
        arguments: For ``make``; they are pickled.
    """

    def __init__(self, make: Callable[..., Callable[[Q], A]], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, make, arguments))
        self._process.start()
        there.close()  # or a process that fails would leave this one waiting for ever

    def __call__(self, request: Q) -> A:
        """Call the function there, and wait for what it gives.

        Raises:
            EOFError: If the process has failed; it has said why.
        """
        self._connection.send(request)
        answer: A = self._connection.recv()
        return answer

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join()


def _serve(connection: Connection, make: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    function = make(*arguments)
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        connection.send(function(request))
