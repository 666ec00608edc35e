"""Hostile files of other tools: how each is made from a small sound network. ``foreign.json`` has the line of each."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as save_arrays

from ticketkit.arch import parse_arch
from ticketkit.models import build_model

ARCH = "resnet8-w2"
TOUCHED = "touched"
"""The file that a pickle would make if it were run, in the folder of the process."""

Make = Callable[[Path], object]


class Runs:
    """Pickled, it calls a function with a text."""

    def __init__(self, function: Callable[[str], object], text: str) -> None:
        self._call = function, (text,)

    def __reduce__(self) -> Any:
        return self._call


TOUCH = Runs(os.system, f"touch {TOUCHED}")
EVALUATE = Runs(eval, f"open({TOUCHED!r}, 'w')")


@cache
def state() -> OrderedDict[str, torch.Tensor]:
    """The sound network's ``state_dict``."""
    return OrderedDict(build_model(parse_arch(ARCH)).state_dict())


def saved(content: object, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def with_head(weight: torch.Tensor) -> bytes:
    return saved({**state(), "fc.weight": weight})


def head() -> torch.Tensor:
    return state()["fc.weight"]


def zipped_again(
    content: bytes, change: Callable[[bytes], bytes] = bytes, *, compression: int = zipfile.ZIP_STORED
) -> bytes:
    """The same archive, its pickle changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            found = old.read(name)
            new.writestr(name, change(found) if name.endswith("data.pkl") else found)
    return buffer.getvalue()


def with_pickle(content: bytes) -> bytes:
    return zipped_again(saved({"w": torch.zeros(1)}), lambda _: content)


def claiming(count: int, *, legacy: bool = False) -> bytes:
    """Four numbers of which the pickle says that they are so many."""
    content = saved({"w": torch.arange(4, dtype=torch.float32)}, legacy=legacy)
    before, after = (b"K\x04Nt", b"Nt") if legacy else (b"K\x04t", b"t")

    def claim(found: bytes) -> bytes:
        return found.replace(before, b"\x8a\x08" + count.to_bytes(8, "little", signed=True) + after, 1)

    return claim(content) if legacy else zipped_again(content, claim)


def tuples_of_tuples(depth: int) -> bytes:
    """A dictionary whose key is a tuple of a tuple twice, of a tuple twice, and so on: hashing it takes 2^depth."""
    content = b"\x80\x02}K\x00\x85q\x00"
    for level in range(depth):
        content += b"h%ch%c\x86q%c" % (level, level, level + 1)
    return content + b"h%cK\x01s." % depth


def of_itself() -> dict[str, object]:
    content: dict[str, object] = {}
    content["model"] = content
    return content


def nested(times: int) -> dict[str, object]:
    content: dict[str, object] = {"a": torch.zeros(1)}
    for _ in range(times):
        content = {"model": content, "epoch": 1}
    return content


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return buffer.getvalue()


def old_file(content: bytes) -> bytes:
    """A file from before torch 1.6, which begins with three pickles of no interest."""
    return b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})) + content


PTH: Mapping[str, Callable[[], bytes]] = {
    "runs a command": lambda: saved({"fc.weight": TOUCH}),
    "runs a command, old file": lambda: saved({"fc.weight": TOUCH}, legacy=True),
    "runs a command, bare pickle": lambda: pickle.dumps(TOUCH, 2),
    "evaluates a text, bare pickle": lambda: pickle.dumps(EVALUATE, 2),
    "evaluates a text, newer pickle": lambda: pickle.dumps(EVALUATE),
    "runs a command beside sound tensors": lambda: saved({**state(), "more": TOUCH}),
    "names a function with control characters": lambda: with_pickle(b"\x80\x02c\x1b[31m\nx\x07\nN."),
    "names a function of a million characters": lambda: with_pickle(b"\x80\x02c" + b"a" * 10**6 + b"\nx\nN."),
    "a module": lambda: saved(build_model(parse_arch(ARCH))),
    "a list": lambda: saved([torch.zeros(3)]),
    "a text": lambda: saved("abc"),
    "nothing": lambda: saved(None),
    "a tensor": lambda: saved(torch.zeros(3)),
    "an empty dictionary": lambda: saved({}),
    "numbers for names": lambda: saved({1: torch.zeros(3)}),
    "texts for tensors": lambda: saved({"fc.weight": "abc"}),
    "numpy's arrays": lambda: saved({"a": np.zeros(3)}),
    "a dictionary that holds itself": lambda: saved(of_itself()),
    "dictionaries in dictionaries": lambda: saved(nested(50)),
    "empty": lambda: b"",
    "text": lambda: b"hello",
    "zeros": lambda: bytes(1_000),
    "gzip": lambda: gzip.compress(b"hello"),
    "tar": tar,
    "start of a zip": lambda: b"PK\x03\x04",
    "end of a zip": lambda: b"PK\x05\x06" + bytes(18),
    "cut after 10 bytes": lambda: saved(state())[:10],
    "cut in the middle": lambda: saved(state())[:10_000],
    "cut before its last byte": lambda: saved(state())[:-1],
    "cut before its directory": lambda: saved(state())[:-30],
    "old file, cut after 10 bytes": lambda: saved(state(), legacy=True)[:10],
    "old file, cut in the middle": lambda: saved(state(), legacy=True)[:7_000],
    "old file, cut before its last byte": lambda: saved(state(), legacy=True)[:-1],
    "compressed": lambda: zipped_again(saved(state()), compression=zipfile.ZIP_DEFLATED),
    "zip bomb": lambda: zipped_again(saved({"w": torch.zeros(25_000_000)}), compression=zipfile.ZIP_DEFLATED),
    "claims 10^12 numbers": lambda: claiming(10**12),
    "claims one number more": lambda: claiming(5),
    "claims -1 numbers": lambda: claiming(-1),
    "claims 2^62 numbers": lambda: claiming(2**62),
    "old file, claims 10^12 numbers": lambda: claiming(10**12, legacy=True),
    "old file, claims -1 numbers": lambda: claiming(-1, legacy=True),
    "asks for 64 GiB of bytes": lambda: with_pickle(
        b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x10\x85R."
    ),
    "tuples that hash for ever": lambda: with_pickle(tuples_of_tuples(60)),
    "old file, tuples that hash for ever": lambda: old_file(tuples_of_tuples(60)),
    "pickle of two million operations": lambda: with_pickle(b"\x80\x02" + b"K\x000" * 700_000 + b"N."),
    "pickle of 5 MiB": lambda: with_pickle(b"\x80\x02X" + (5 * 2**20).to_bytes(4, "little") + b"a" * 5 * 2**20 + b"."),
    "pickle of a newer protocol": lambda: with_pickle(pickle.dumps({"a": 1}, 4)),
    "one number for 10^12": lambda: with_head(torch.zeros(1, 1).expand(10, 10**11)),
    "one tensor 5,000 times": lambda: saved({f"a{number}": head() for number in range(5_000)}),
    "tensor missing": lambda: saved({name: tensor for name, tensor in state().items() if name != "fc.bias"}),
    "tensor with a path for a name": lambda: saved({**state(), "../../etc\x1b[31m\n": torch.zeros(1)}),
    "tensor with a long name": lambda: saved({**state(), "a" * 10**6: torch.zeros(1)}),
    "weight of another shape": lambda: with_head(torch.zeros(3, 3)),
    "weight without dimensions": lambda: with_head(torch.tensor(1.0)),
    "weight without numbers": lambda: with_head(torch.zeros(0)),
    "weight nan": lambda: with_head(torch.full_like(head(), float("nan"))),
    "weight infinite": lambda: with_head(torch.full_like(head(), float("-inf"))),
    "weight complex": lambda: with_head(head().to(torch.complex64)),
    "weight complex, conjugated": lambda: with_head(head().to(torch.complex64).conj()),
    "weight boolean": lambda: with_head(head() > 0),
    "weight of integers": lambda: with_head(head().to(torch.int32)),
    "weight of long integers": lambda: with_head(head().to(torch.int64)),
    "weight bfloat16": lambda: with_head(head().bfloat16()),
    "weight of 8 bits": lambda: with_head(head().to(torch.float8_e4m3fn)),
    "weight quantised": lambda: with_head(torch.quantize_per_tensor(head(), 0.1, 0, torch.qint8)),
    "weight sparse": lambda: with_head(head().to_sparse()),
    "weight sparse, 10^18 numbers": lambda: with_head(torch.sparse_coo_tensor([[0], [0]], [1.0], (10**9, 10**9))),
    "weight without memory": lambda: with_head(torch.empty(head().shape, device="meta")),
}

MASKS: Mapping[str, Callable[[], torch.Tensor | str]] = {
    "twos": lambda: torch.full_like(head(), 2),
    "halves": lambda: torch.full_like(head(), 0.5),
    "negative": lambda: torch.full_like(head(), -1),
    "nan": lambda: torch.full_like(head(), float("nan")),
    "complex": lambda: torch.ones_like(head(), dtype=torch.complex64),
    "another shape": lambda: torch.ones(2, 2),
    "without dimensions": lambda: torch.tensor(1.0),
    "without numbers": lambda: torch.zeros(0),
    "a text": lambda: "abc",
}
"""What a file of masks has for ``fc.weight``."""


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape: list[int], end: int, *, start: int = 0, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


SAFETENSORS: Mapping[str, bytes] = {
    "empty": b"",
    "seven bytes": b"1234567",
    "header of 2^62 bytes": safetensors(b"{}", length=2**62),
    "header beyond the file": safetensors(b"{}", length=100),
    "header of 5 MiB": safetensors(b" " * (5 * 2**20)),
    "no JSON": safetensors(b"xx"),
    "list": safetensors(b"[]"),
    "lists without end": safetensors(b'{"a":' + b"[" * 100_000),
    "Latin-1": safetensors(b'{"\xe9":1}'),
    "data missing": safetensors({"fc.weight": entry([10, 8], 320)}, bytes(10)),
    "10^12 numbers": safetensors({"fc.weight": entry([10**12], 4 * 10**12)}),
    "more numbers than can be counted": safetensors({"fc.weight": entry([2**63, 2**63], 4)}, bytes(4)),
    "negative shape": safetensors({"fc.weight": entry([-1], 4)}, bytes(4)),
    "overlap": safetensors({"a": entry([1], 4), "b": entry([1], 4)}, bytes(4)),
    "hole": safetensors({"a": entry([1], 8, start=4)}, bytes(8)),
    "bfloat16": safetensors({"a": entry([2], 4, dtype="BF16")}, bytes(4)),
    "type of an escape sequence": safetensors({"a": entry([2], 4, dtype="\x1b[31m")}, bytes(4)),
    "70 dimensions": safetensors({"a": entry([1] * 70, 4)}, bytes(4)),
    "network of an escape sequence": safetensors(
        {"__metadata__": {"architecture": "\x1b[31m"}, "a": entry([1], 4)}, bytes(4)
    ),
    "network far too deep": safetensors(
        {"__metadata__": {"architecture": "resnet999998"}, "a": entry([1], 4)}, bytes(4)
    ),
    "40,000 tensors": safetensors(
        b'{"__metadata__":{"architecture":"resnet8"},'
        + b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % number for number in range(40_000))
        + b"}"
    ),
    "a .pth file": b"PK\x03\x04" + bytes(100),
}


def bitmask(shape: list[float], bits: int, values: int, **more: Any) -> dict[str, Any]:
    kind = np.int64 if all(isinstance(size, int) for size in shape) else np.float64
    return {
        "fc.shape": np.array(shape, dtype=kind),
        "fc.bitmask": np.full((10, 1), bits, np.uint8),
        "fc.compressed": np.zeros(values, np.float32),
        **more,
    }


BITMASKS: Mapping[str, Callable[[], bytes]] = {
    "none": lambda: save_arrays({"a": np.zeros(1)}),
    "negative shape": lambda: save_arrays(bitmask([-1, 8], 0, 0)),
    "shape of 10^24 numbers": lambda: save_arrays(bitmask([10**12, 10**12], 0, 0)),
    "shape of fractions": lambda: save_arrays(bitmask([10.0, 8.0], 0, 0)),
    "padding bits set": lambda: save_arrays(bitmask([10, 7], 255, 80)),
    "values missing": lambda: save_arrays(bitmask([10, 8], 255, 79)),
    "values too many": lambda: save_arrays(bitmask([10, 8], 255, 81)),
    "bits alone": lambda: save_arrays({"fc.bitmask": np.zeros((10, 1), np.uint8)}),
    "wrong offsets": lambda: save_arrays(bitmask([10, 8], 255, 80, **{"fc.row_offsets": np.zeros(10, np.int64)})),
}


def level_folder(path: Path, model: str = "cifar_resnet_8_2") -> Path:
    """A level's folder of open_lth; its masks are all ones."""
    path.mkdir(parents=True)
    masks = {
        name: torch.ones(tensor.shape, dtype=torch.int32)
        for name, tensor in state().items()
        if name.endswith("weight") and tensor.ndim > 1
    }
    torch.save(masks, path / "mask.pth")
    torch.save(state(), path / "model_ep0_it5.pth")
    (path / "hparams.log").write_text(f"Model Hyperparameters\n    * model_name => {model}\n", "utf-8")
    return path


def instead(name: str, make: Make) -> Make:
    """Put something else in a file's place."""

    def put(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return put


def hparams(model: str) -> Make:
    text = f"Model Hyperparameters\n    * model_name => {model}\n"
    return lambda folder: (folder / "hparams.log").write_text(text, "utf-8")


FOLDERS: Mapping[str, Make] = {
    "no mask": lambda folder: (folder / "mask.pth").unlink(),
    "no model": lambda folder: (folder / "model_ep0_it5.pth").unlink(),
    "model of a step in arabic digits": lambda folder: (folder / "model_ep0_it5.pth").rename(
        folder / "model_ep0_it\u0665.pth"
    ),
    "mask that is a pipe": instead("mask.pth", os.mkfifo),
    "mask that is a folder": instead("mask.pth", Path.mkdir),
    "mask that links to itself": instead("mask.pth", lambda path: path.symlink_to(path.name)),
    "mask that runs a command": lambda folder: torch.save({"fc.weight": TOUCH}, folder / "mask.pth"),
    "model that is a pipe": instead("model_ep0_it5.pth", os.mkfifo),
    "hparams.log that is a pipe": instead("hparams.log", os.mkfifo),
    "hparams.log of 100 MB": lambda folder: (folder / "hparams.log").write_bytes(b"x" * 10**8),
    "network of an escape sequence": hparams("../../\x1b[31m"),
    "network in arabic digits": hparams("cifar_resnet_\u0668_2"),
    "network far too deep": hparams("cifar_resnet_999998_9999999"),
}

HARMLESS_FOLDERS: Mapping[str, Make] = {
    "logger that is a pipe": lambda folder: os.mkfifo(folder / "logger"),
    "logger of rubbish": lambda folder: (folder / "logger").write_bytes(b"test_accuracy,\xff,1e999\n" * 1_000),
    "report of lists without end": lambda folder: _report(folder, "[" * 100_000),
    "report of 5,000 digits": lambda folder: _report(folder, '{"unpruned": 1' + "0" * 5_000 + "}"),
    "report that is a pipe": lambda folder: os.mkfifo(_first(folder) / "sparsity_report.json"),
}
"""What lies around a level's folder and is no part of the ticket: it is left out, and nothing waits for it."""


def _first(folder: Path) -> Path:
    path = folder.parents[1] / "level_0" / "main"
    path.mkdir(parents=True)
    (path / "logger").write_text("test_accuracy,5,0.5\n")
    return path


def _report(folder: Path, text: str) -> None:
    (_first(folder) / "sparsity_report.json").write_text(text)
