"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

from ticketkit.arch import StateTensor, parse_arch
from ticketkit.data import ImageData
from ticketkit.encoding import Array
from ticketkit.mask import Mask
from ticketkit.provenance import DatasetInfo, Provenance, Weights
from ticketkit.ticket import Ticket

# Tickets tell the commit that made them. What a test compares was made by one, even if files change while it runs.
os.environ["TICKETKIT_COMMIT"] = ""

# The same examples in every run, and no time limit for one: what is red here is red everywhere, and stays red.
hypothesis.settings.register_profile("ticketkit", derandomize=True, deadline=None, max_examples=25, database=None)
hypothesis.settings.load_profile("ticketkit")


def _weights(entry: StateTensor, random: np.random.Generator) -> Array:
    """Plausible values of one tensor: each kind in its own range, none of them zero by chance."""
    shape = entry.tensor.shape
    if entry.tensor.dtype == "I64":
        return np.array(14, dtype=np.int64)
    values = random.standard_normal(shape, dtype=np.float32)
    if entry.layer.kind == "batch_norm":
        return {
            "weight": 1 + values / np.float32(10),
            "bias": values / np.float32(10),
            "running_mean": values,
            "running_var": np.float32(0.5) + values * values,
        }[entry.tensor.name]
    return values


@pytest.fixture(scope="session")
def make_ticket() -> Callable[..., Ticket]:
    """Make a ticket quickly: the same arguments give the same ticket, bit for bit, on every machine.

    ``make_ticket(arch_name="resnet8-w2", *, density=0.3, seed=0, dtype="float32", **kw)``: the weights and the mask
    follow ``seed``; round(density · size) weights of every prunable tensor are kept, at random places. ``kw``
    replaces arguments of ``Ticket.from_arrays`` (``tensors``, ``mask``, ``weights``, ``provenance``, ``results``) or
    goes to ``parse_arch`` (``num_classes``, ``in_channels``).
    """

    def make(
        arch_name: str = "resnet8-w2", *, density: float = 0.3, seed: int = 0, dtype: str = "float32", **kw: Any
    ) -> Ticket:
        arch = parse_arch(arch_name, **{key: kw.pop(key) for key in ("num_classes", "in_channels") if key in kw})
        tensors: dict[str, Array] = {}
        masks: dict[str, np.ndarray] = {}
        prunable = set(arch.prunable_names())
        for entry in arch.state():
            random = np.random.Generator(np.random.PCG64([seed, zlib.crc32(entry.name.encode())]))
            values = _weights(entry, random)
            tensors[entry.name] = values.astype(dtype) if entry.tensor.dtype == "F32" else values
            if entry.name in prunable:
                size = entry.tensor.size
                kept = np.zeros(size, dtype=np.bool_)
                kept[random.permutation(size)[: round(density * size)]] = True
                masks[entry.name] = kept.reshape(entry.tensor.shape)
        arguments: dict[str, Any] = {
            "tensors": tensors,
            "mask": Mask(masks),
            "weights": Weights(role="rewind", step=14),
            "provenance": Provenance(
                method="imp",
                level=5,
                rate=0.2,
                seed=seed,
                dataset=DatasetInfo(name="digits", fingerprint="sha256:" + "0" * 64, train=1437, test=360),
                recipe={"epochs": 2, "learning_rate": 0.1},
            ),
        }
        return Ticket.from_arrays(arch, **(arguments | kw))

    return make


@pytest.fixture(scope="session")
def stripes() -> ImageData:
    """Two classes that a network learns in a few steps: horizontal and vertical stripes under noise."""
    random = np.random.default_rng(0)
    labels = np.arange(96, dtype=np.int64) % 2
    images = random.integers(0, 60, (96, 1, 8, 8), dtype=np.uint8)
    images[labels == 0, :, ::2, :] += 120
    images[labels == 1, :, :, ::2] += 120
    return ImageData(
        name="stripes",
        train_images=images[:64],
        train_labels=labels[:64],
        test_images=images[64:],
        test_labels=labels[64:],
        classes=("horizontal", "vertical"),
    )


def _reserved(folder: Path) -> list[int]:
    """Sizes of the files without a name that this process holds in a folder."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself
            if os.readlink(link).startswith(f"{folder}{os.sep}.spare."):
                found.append(os.stat(link).st_blocks * 512)
    return found


@pytest.fixture
def reserved() -> Callable[[Path], list[int]]:
    """Asks for the room that is kept in a folder, bytes of each file that has no name."""
    return _reserved
