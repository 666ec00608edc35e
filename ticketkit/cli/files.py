"""Files that a command writes beside what it prints: pictures, pages, tables."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ticketkit.atomic import replacing
from ticketkit.errors import TicketkitError

ODD: Final = "replace"
"""What becomes of half letters, which JSON can hold and UTF-8 cannot: a question mark."""


class Files:
    """Files that are written all together, once it is known that none of them is in the way.

    Args:
        force: Whether files that exist are replaced.
    """

    def __init__(self, *, force: bool) -> None:
        self._force = force
        self._contents: dict[Path, bytes] = {}

    def check(self, path: Path) -> None:
        """Refuse a file that exists."""
        if path.exists() and not self._force:
            raise TicketkitError(f"a file must not be overwritten without --force (it is there already): {path}")

    def add(self, path: Path, content: bytes) -> None:
        """Hold a file to be written."""
        self.check(path)
        if path in self._contents:
            raise TicketkitError(f"each output must have a file of its own (two are to be written to one): {path}")
        self._contents[path] = content

    def write(self) -> None:
        """Write the files, each in one step, with the folders that they lie in."""
        for path, content in self._contents.items():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path, overwrite=self._force) as temporary:
                    temporary.write_bytes(content)
            except OSError as error:
                raise TicketkitError(f"a file must be one that can be written ({error.strerror}): {path}") from None
