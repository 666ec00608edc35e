"""Files of named arrays: safetensors, and torch's ``.pth``, told apart by the name's end."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ticketkit.atomic import replacing
from ticketkit.bundle.limits import DEFAULT_LIMITS
from ticketkit.encoding import Array
from ticketkit.errors import BundleError
from ticketkit.reading import regular_size

ARCH_KEY = "architecture"
"""Metadata key of the safetensors files that we write: the network's name, so that they come in again without it."""

_SAFETENSORS = ".safetensors"


def is_safetensors(path: Path) -> bool:
    """Whether a file of this name is a safetensors file; every other is torch's."""
    return path.suffix.lower() == _SAFETENSORS


def read_arrays(path: Path) -> tuple[dict[str, Array], str | None]:
    """Read a file of named tensors.

    Returns:
        The arrays in the file's order, and the network's name if the file says it.

    Raises:
        BundleError: If it cannot be read, holds anything but tensors, or a type that numpy does not have.
    """
    try:
        size = regular_size(path)
    except OSError as error:
        raise unreadable(path, error) from None
    if size > DEFAULT_LIMITS.file_bytes:
        raise BundleError(
            f"a file to import must have at most {DEFAULT_LIMITS.file_bytes:,} bytes (got {size:,}): {path}"
        )
    if not is_safetensors(path):
        from ticketkit.interop.pth import read_pth

        return read_pth(path), None
    try:
        _check_header(path, size)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except OSError as error:
        raise unreadable(path, error) from None
    except (SafetensorError, TypeError, AttributeError, KeyError, ValueError) as error:
        if isinstance(error, BundleError):
            raise
        # The last four are how numpy's lack of a type (BF16) shows, by version of the library.
        raise BundleError(f"tensors must be in a sound safetensors file of numpy's types ({error}): {path}") from None
    return arrays, metadata.get(ARCH_KEY)


def _check_header(path: Path, size: int) -> None:
    """Refuse a header that claims more than we read of a bundle's own, before anything parses it."""
    with path.open("rb") as file:
        claimed = int.from_bytes(file.read(8), "little")
    if claimed > min(DEFAULT_LIMITS.header_bytes, size):
        most = min(DEFAULT_LIMITS.header_bytes, size)
        raise BundleError(
            f"a safetensors file's header must have at most {most:,} bytes (it claims {claimed:,}): {path}"
        )


def encode_arrays(path: Path, arrays: Mapping[str, Array], arch: str) -> bytes:
    """The content of a file of named tensors, of the kind that its name says.

    Args:
        path: The file's name.
        arrays: The tensors.
        arch: The network's name; only a safetensors file can hold it.
    """
    if not is_safetensors(path):
        from ticketkit.interop.pth import encode_pth

        return encode_pth(arrays)
    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    return _ordered(save(contiguous, metadata={"format": "pt", ARCH_KEY: arch}))


def _ordered(content: bytes) -> bytes:
    """The same safetensors file with its metadata in order: the library gives another one in every process."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]


def write_files(contents: Mapping[Path, bytes], *, overwrite: bool) -> tuple[Path, ...]:
    """Write files that belong together: all to temporary names, flushed, before the first takes its own.

    Raises:
        BundleError: If one exists and may not be replaced, or cannot be written; nothing half-written is left.
    """
    check_free(contents, overwrite=overwrite)
    path = next(iter(contents))
    try:
        with ExitStack() as stack:
            for path, content in contents.items():  # noqa: B007, RUF100 - the last one tried is named below
                stack.enter_context(replacing(path, overwrite=overwrite)).write_bytes(content)
    except FileExistsError:
        raise BundleError(f"a file must not be overwritten unasked (one is there already): {path}") from None
    except OSError as error:
        raise BundleError(f"a file must be written to a writable place ({error.strerror or error}): {path}") from None
    return tuple(contents)


def check_free(paths: Mapping[Path, object] | tuple[Path, ...], *, overwrite: bool) -> None:
    """Refuse to replace a file that is there, unless asked, and to write two files to one place.

    Raises:
        BundleError: Naming the file.
    """
    for path in paths:
        if path.exists() and not overwrite:
            raise BundleError(f"a file must not be overwritten unasked (one is there already): {path}")
    for one, other in itertools.combinations(paths, 2):
        if one.resolve() == other.resolve():
            raise BundleError(f"weights and masks must be two files (got one name for both): {one}")


def unreadable(path: Path, error: OSError) -> BundleError:
    """The error for a file that the system does not let us read."""
    return BundleError(f"a file to import must be readable ({error.strerror or error}): {path}")
