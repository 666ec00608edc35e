"""What must hold of a ``.pth`` file before torch reads it, and of the tensors before anything reads them.

``weights_only=True`` keeps a pickle from calling what it likes. It does not keep one from claiming more memory than
there is, nor from taking forever: entries of a zip that unfold, tensors that repeat one number, tuples that are hashed
as a tree of 2⁴⁰ leaves. These are looked for without unpickling anything.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from ticketkit.errors import BundleError

if TYPE_CHECKING:
    import torch

MOST_OPERATIONS: Final = 400_000
"""The most operations of a pickle; a tensor takes about 40."""

MOST_PICKLE_BYTES: Final = 4 * 2**20
"""The longest pickle; a tensor takes about 120 bytes."""

MOST_VALUES: Final = 10_000_000
"""The most values that a pickle may mean, each counted as often as it would be written out."""

LONGEST_GLOBAL: Final = 200
"""The longest name of a function or class; torch, which refuses most, takes minutes to say so of one of a megabyte."""

_ZIP_START = b"PK\x03\x04"
_PICKLE = "data.pkl"
_LEGACY_PICKLES = 5
"""How many pickles a file from before torch 1.6 begins with; the numbers follow them."""


def check_file(path: Path) -> None:
    """Refuse a file whose content is larger, or means more, than its bytes can honestly do; torch is not asked.

    Raises:
        BundleError: If it is so; without the file's name.
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        zipped = file.read(len(_ZIP_START)) == _ZIP_START
        file.seek(0)
        if zipped:
            _check_zip(file, size)
        else:
            for _ in range(_LEGACY_PICKLES):
                if not _check_pickle(file, file.tell() + MOST_PICKLE_BYTES):
                    return


def check_tensors(tensors: Mapping[str, torch.Tensor], size: int) -> None:
    """Refuse tensors that are not dense, or together take more bytes than their file has; nothing of them is read.

    Raises:
        BundleError: Naming the tensor; without the file's name.
    """
    import torch

    taken = 0
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_nested or tensor.is_quantized or tensor.device.type != "cpu":
            what = tensor.layout if tensor.layout is not torch.strided else tensor.dtype
            raise BundleError(f"{name[:80]} must be a dense tensor of one of numpy's types (got {what})")
        taken += tensor.numel() * tensor.element_size()
    if taken > size:
        raise BundleError(f"tensors must take no more bytes than their file has (got {taken:,} in {size:,})")


def _check_zip(file: IO[bytes], size: int) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            for entry in entries:
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                    raise BundleError(
                        f"entries of a .pth file must be stored as they are (got a compressed {entry.filename[:80]!r})"
                    )
            if (claimed := sum(entry.file_size for entry in entries)) > size:
                raise BundleError(
                    f"entries of a .pth file must take no more bytes than it has (got {claimed:,} in {size:,})"
                )
            for entry in entries:
                if entry.filename.rpartition("/")[2] == _PICKLE:
                    if entry.file_size > MOST_PICKLE_BYTES:
                        raise _too_long()
                    with archive.open(entry) as content:
                        _check_pickle(content, MOST_PICKLE_BYTES)
    except (zipfile.BadZipFile, ValueError, RuntimeError, EOFError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"a .pth file must be a sound zip archive ({error})") from None


def _check_pickle(file: IO[bytes], end: int) -> bool:
    """Count what a pickle means, without making anything of it; whether it is one at all.

    A value that is used again by its number counts again with all that it holds, as whoever walks or hashes it would.
    What is no sound pickle is left to torch, which says so.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[object, int] = {}
    try:
        for operations, (opcode, argument, position) in enumerate(pickletools.genops(file)):
            if operations > MOST_OPERATIONS or (position is not None and position > end):
                raise _too_long()
            name = opcode.name
            if name == "GLOBAL" and isinstance(argument, str) and len(argument) > LONGEST_GLOBAL:
                raise BundleError(
                    f"a .pth file must name functions of at most {LONGEST_GLOBAL} characters (got {argument[:80]!r})"
                )
            if name == "MARK":
                marks.append(len(stack))
                continue
            if name in {"BINPUT", "LONG_BINPUT", "PUT"}:
                memo[argument] = stack[-1]
                continue
            if name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
                continue
            if name in {"BINGET", "LONG_BINGET", "GET"}:
                stack.append(memo[argument])
                continue
            taken = 0
            before = opcode.stack_before
            if pickletools.markobject in before:
                start = marks.pop()
                taken = sum(stack[start:])
                del stack[start:]
                before = before[: before.index(pickletools.markobject)]
            for _ in before:
                taken += stack.pop()
            if taken > MOST_VALUES:
                raise BundleError(f"a .pth file must hold at most {MOST_VALUES:,} values (its pickle means more)")
            stack += [taken + 1] * len(opcode.stack_after)
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        if isinstance(error, BundleError):
            raise
        return False
    return True


def _too_long() -> BundleError:
    most = f"{MOST_PICKLE_BYTES:,} bytes and {MOST_OPERATIONS:,} operations"
    return BundleError(f"a .pth file's pickle must have at most {most} (it has more)")
