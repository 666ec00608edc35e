"""The container of a bundle: a safetensors file, its header checked as strictly as the format is written.

Everything that reads a file goes through :func:`opened`, so what was checked and what is read are one open file.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ticketkit.bundle.bounds import check_json
from ticketkit.bundle.limits import Limits
from ticketkit.document import json_problem
from ticketkit.errors import BundleError, MaskError
from ticketkit.reading import shown

Data = NDArray[np.uint8]

_LENGTH_BYTES = 8
_ZIP = b"PK\x03\x04"
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""What files of pickle's protocols begin with; torch.save wrote the first before it wrote zip archives."""

_METADATA = "__metadata__"
_MEMBERS = {"dtype", "shape", "data_offsets"}
_PLACES = 2
_MOST_DIMENSIONS = 8
_LARGEST = 2**63 - 1
_WIDTHS = (
    dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1)
    | dict.fromkeys(("U16", "I16", "F16", "BF16"), 2)
    | dict.fromkeys(("U32", "I32", "F32"), 4)
    | dict.fromkeys(("U64", "I64", "F64"), 8)
)
"""Bytes an element of each of safetensors' types takes."""


class Extent(NamedTuple):
    """Where the container holds a tensor, in bytes from the start of the data, and as what."""

    dtype: str
    shape: list[int]
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """An open safetensors file whose header is sound.

    Attributes:
        metadata: What its header says beside the tensors.
        extents: Its tensors by key; they cover the data without gap or overlap.
        header_bytes: Length of everything before the tensors.
        file_bytes: Length of the file.
        file: The file itself.
    """

    metadata: Mapping[str, str]
    extents: Mapping[str, Extent]
    header_bytes: int
    file_bytes: int
    file: BinaryIO

    def data(self, *, mapped: bool) -> Data:
        """Everything behind the header; read-only.

        Args:
            mapped: Whether to map the file instead of reading it. A file that cannot be mapped is read.
        """
        if mapped:
            try:
                mapping = mmap.mmap(self.file.fileno(), self.file_bytes, access=mmap.ACCESS_READ)
            except ValueError:
                raise self._cut_short() from None
            except OSError:  # some file systems do not map files
                pass
            else:
                return np.frombuffer(mapping, dtype=np.uint8)[self.header_bytes :]
        content = np.empty(self.file_bytes - self.header_bytes, dtype=np.uint8)
        self.file.seek(self.header_bytes)
        if self.file.readinto(content.data) != content.size:  # type: ignore[attr-defined]  # a buffered file has it
            raise self._cut_short()
        content.flags.writeable = False
        return content

    def _cut_short(self) -> BundleError:
        return BundleError(
            f"a file must stay as it is while it is read (it had {self.file_bytes:,} bytes and has less)"
        )


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn every error about a file's content or access into one line that ends with the file's name."""
    try:
        yield
    except BundleError as error:
        raise type(error)(f"{error}: {path}") from None
    except MaskError as error:
        raise BundleError(f"{error}: {path}") from None
    except OSError as error:
        raise BundleError(f"a ticket must be a readable file ({error.strerror or error}): {path}") from None
    except MemoryError:
        raise BundleError(f"a ticket must fit the memory there is (it does not): {path}") from None


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[Container]:
    """Open a safetensors file whose size and header are within limits, and check its header; no tensor is read.

    Raises:
        BundleError: If it is not such a file.
        OSError: If it cannot be read.
    """
    try:
        status = path.stat()  # before it is opened, since opening a pipe waits for its other end
    except ValueError:
        raise BundleError("a ticket's name must be without NUL characters (it has one)") from None
    _check_regular(status)
    with open(path, "rb", opener=_open_without_waiting) as file:
        status = os.fstat(file.fileno())
        _check_regular(status)
        yield read_container(file, status.st_size, limits)


def read_container(file: BinaryIO, file_bytes: int | None, limits: Limits) -> Container:
    """Check the header of a safetensors file that is open at its start; nothing behind the header is read.

    Args:
        file: The file. All that is asked of it is ``read``.
        file_bytes: Its length. None where nobody tells, as of a file on its way: it is then what the header claims.
        limits: What the reader is willing to take.

    Raises:
        BundleError: If it is not such a file.
        OSError: If it cannot be read.
    """
    data_bytes = None
    if file_bytes is not None:
        _check_file_bytes(file_bytes, limits)
    start = file.read(_LENGTH_BYTES)
    length = int.from_bytes(start, "little")
    if length > limits.header_bytes:  # else it may be the header's length
        _refuse_torchs_own(start)
    if file_bytes is not None:
        data_bytes = file_bytes - _LENGTH_BYTES - length
        if data_bytes < 0:
            raise BundleError(
                f"a safetensors header must fit its file of {file_bytes:,} bytes (it claims {length:,}); "
                "the file is cut short or is not safetensors"
            )
    if length > limits.header_bytes:
        raise BundleError(f"a header must be of at most {limits.header_bytes:,} bytes (got {length:,})")
    metadata, extents = _read_table(file.read(length), data_bytes, limits)
    header_bytes = _LENGTH_BYTES + length
    if file_bytes is None:
        file_bytes = header_bytes + max((extent.end for extent in extents.values()), default=0)
        _check_file_bytes(file_bytes, limits)
    return Container(metadata=metadata, extents=extents, header_bytes=header_bytes, file_bytes=file_bytes, file=file)


def _refuse_torchs_own(start: bytes) -> None:
    """Name what torch.save writes, given the start of a file that cannot be safetensors."""
    if start.startswith(_ZIP):
        kind = "a zip archive, as torch.save writes them"
    elif start.startswith(_PICKLES):
        kind = "a pickle, as torch.save once wrote them"
    else:
        return
    raise BundleError(f"a ticket must be a safetensors file (got {kind}; ticketkit import reads those)")


def _check_file_bytes(file_bytes: int, limits: Limits) -> None:
    if file_bytes > limits.file_bytes:
        raise BundleError(f"a file must be of at most {limits.file_bytes:,} bytes (got {file_bytes:,})")


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file that may have become a pipe since it was looked at."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a device")
        raise BundleError(f"a ticket must be a regular file (got {kind})")


def _read_table(header: bytes, data_bytes: int | None, limits: Limits) -> tuple[dict[str, str], dict[str, Extent]]:
    """The metadata and the tensors' extents that a header names."""
    entries = _parse(header, limits)
    data_bytes = _check_length(entries, data_bytes)
    metadata = _metadata(entries.pop(_METADATA, {}))
    extents = {key: _extent(key, entry) for key, entry in entries.items()}
    _check_cover(extents, data_bytes)
    return metadata, extents


def _parse(header: bytes, limits: Limits) -> dict[str, Any]:
    text = header.rstrip(b" ")
    if not (text.startswith(b"{") and text.endswith(b"}")):
        raise BundleError("a safetensors header must be a JSON object and spaces after it (got something else)")
    check_json(text, "a safetensors header", limits)
    try:
        entries: dict[str, Any] = json.loads(
            text.decode("utf-8"), object_pairs_hook=_refuse_repeated, parse_int=_number if b"-0" in text else None
        )
    except (ValueError, RecursionError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"a safetensors header must be JSON ({json_problem(error)})") from None
    return entries


def _number(digits: str) -> int:
    if digits == "-0":  # 0 to Python, while safetensors' own reader takes it for a fraction and refuses the file
        raise _unsound("the shape and place of its tensors must be whole numbers, and -0 is none")
    return int(digits)


def _refuse_repeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        again = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BundleError(f"a safetensors header must have every key once (got {shown(again)} again)")
    return content


def _check_length(entries: Mapping[str, Any], data_bytes: int | None) -> int:
    """Refuse a file that was cut short before anything else in its header is judged: that is the usual damage.

    Returns:
        How many bytes of tensors there are.
    """
    claimed = 0
    for entry in entries.values():
        match entry:
            case {"data_offsets": [_, int(end)]}:
                claimed = max(claimed, end)
    if claimed > _LARGEST:
        raise _unsound("places in the data must be whole numbers from 0 to 2^63 - 1")
    if data_bytes is not None and claimed != data_bytes:
        raise BundleError(
            f"a file must hold the {claimed:,} bytes of tensors that its header names (it holds {data_bytes:,}); "
            "it is cut short, or something was added to it"
        )
    return claimed


def _metadata(found: Any) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise _unsound("its metadata must be texts by name")
    return found


def _extent(key: str, entry: Any) -> Extent:
    if not isinstance(entry, dict) or entry.keys() != _MEMBERS:  # nothing beside them: the id would not guard it
        raise _no_entry(key)
    dtype, shape, places = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not (isinstance(dtype, str) and isinstance(shape, list) and isinstance(places, list) and len(places) == _PLACES):
        raise _no_entry(key)
    if dtype not in _WIDTHS:
        raise _unsound(f"the type of {shown(key)} must be one of safetensors' own")
    if len(shape) > _MOST_DIMENSIONS:
        raise _unsound(f"{shown(key)} must have at most {_MOST_DIMENSIONS} dimensions")
    for number in (*shape, *places):
        if type(number) is not int or not 0 <= number <= _LARGEST:  # not isinstance: True is an int of Python's
            raise _unsound(f"the shape and place of {shown(key)} must be whole numbers from 0 to 2^63 - 1")
    elements = math.prod(shape)
    if (elements or math.prod(filter(None, shape))) > _LARGEST:  # a 0 must not hide what the others are
        raise _unsound(f"{shown(key)} must have at most 2^63 - 1 elements")
    start, end = places
    if end - start != elements * _WIDTHS[dtype]:
        raise _unsound(f"the bytes of {shown(key)} must be as many as its shape and type take")
    return Extent(dtype, shape, start, end)


def _no_entry(key: str) -> BundleError:
    return _unsound(f"the entry of {shown(key)} must have a type, a shape and a place in the data, and no more")


def _check_cover(extents: Mapping[str, Extent], data_bytes: int) -> None:
    at = 0
    for start, end in sorted((extent.start, extent.end) for extent in extents.values()):
        if start != at:
            raise _unsound(f"its tensors must lie one behind the other (one begins at byte {start:,}, not {at:,})")
        at = end
    if at != data_bytes:
        raise _unsound(f"its tensors must cover its {data_bytes:,} bytes of data (they cover {at:,})")


def _unsound(problem: str) -> BundleError:
    return BundleError(f"a ticket must be a sound safetensors file ({problem})")
