"""One network trained by several processes, each on its own device: torch.distributed, as ``torchrun`` starts it.

Every process, a *rank*, holds the whole network and computes its part of every batch. What a step does must not depend
on the number of ranks but for rounding: gradients are averaged, batch normalisation sees the whole batch
(``train/synchronised.py``), and the recipe's batch is what all ranks together see. Rank 0 decides, reads what a run
keeps on disk and writes; the others are told.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed
from torch.distributed.rendezvous import rendezvous

from ticketkit.encoding import Array
from ticketkit.errors import DataError, RunError
from ticketkit.recipe import Recipe
from ticketkit.train.batches import Batches, EpochPlan

TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for the others: longer than rank 0 takes to load data, or to classify the test images."""

RESUME = "a run that keeps a run folder goes on from there with --resume"
"""What messages say of a run that has ended early."""

T = TypeVar("T")


class Group:
    """The processes that train a network together. This one is of a process that is alone.

    Those of several are :class:`~ticketkit.train.distributed.Ranks`.

    All ranks must call the same methods in the same order, :meth:`claim` excepted.

    Attributes:
        rank: This process's number among them, from 0.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that decides, writes and prints."""
        return self.rank == 0

    def average(self, tensor: Tensor) -> None:
        """Give all ranks the mean of a float tensor over the ranks, in place and bit for bit the same.

        Raises:
            RunError: If a rank is lost, here and in the other methods.
        """

    def gathered(self, tensor: Tensor) -> Tensor:
        """A tensor [...] of every rank, in their order: [size, ...]."""
        return tensor[None]

    def of_first(self, make: Callable[[], T]) -> T:
        """What rank 0, and no other, makes.

        Args:
            make: Makes a value that can be pickled. If it raises on rank 0, the others find that it is lost.
        """
        return make()

    def check_alike(self, what: str, content: bytes | Mapping[str, Array]) -> None:
        """Check that all ranks hold the same, by its SHA-256.

        Args:
            what: What it is, for the message.
            content: Bytes, or arrays by name.

        Raises:
            RunError: If they do not, on all ranks.
        """

    def wait(self) -> None:
        """Wait until all ranks are here."""

    def claim(self) -> bool:
        """Whether this rank is the first to ask: the one that is to say why all of them end."""
        return True


ALONE = Group()
"""The group of a process that trains by itself."""


class _Counters(Protocol):
    """What is needed of a torch.distributed.Store."""

    def add(self, key: str, amount: int, /) -> int:
        """Raise a counter that starts at 0, and give its new value."""


class Ranks(Group):
    """Several processes, in torch's default process group; see :func:`~ticketkit.train.distributed.joined`.

    Args:
        store: What the ranks found each other by.
        rank: See :class:`Group`.
        size: See :class:`Group`.
    """

    def __init__(self, store: _Counters, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size
        self._store = store

    def average(self, tensor: Tensor) -> None:
        """See :class:`Group`."""
        with _all_take_part():
            distributed.all_reduce(tensor)  # gloo knows no mean
        tensor.div_(self.size)

    def gathered(self, tensor: Tensor) -> Tensor:
        """See :class:`Group`."""
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        with _all_take_part():
            distributed.all_gather(parts, tensor)
        return torch.stack(parts)

    def of_first(self, make: Callable[[], T]) -> T:
        """See :class:`Group`."""
        values = [make() if self.leads else None]
        with _all_take_part():
            distributed.broadcast_object_list(values)
        value: T = values[0]  # type: ignore[assignment]  # what rank 0 made
        return value

    def check_alike(self, what: str, content: bytes | Mapping[str, Array]) -> None:
        """See :class:`Group`."""
        digests = self.gathered(torch.frombuffer(bytearray(_digest(content)), dtype=torch.uint8))
        others = (digests != digests[0]).any(dim=1).nonzero().flatten().tolist()
        if others:
            raise RunError(f"every rank must have the same {what} (rank {others[0]} has not what rank 0 has)")

    def wait(self) -> None:
        """See :class:`Group`."""
        self.average(torch.zeros(1))

    def claim(self) -> bool:
        """See :class:`Group`."""
        try:
            return bool(self._store.add("claimed", 1) == 1)
        except RuntimeError:
            return True  # the store is lost too: better said twice than not at all


@contextmanager
def joined(device: str, timeout: timedelta = TIMEOUT) -> Iterator[Ranks]:
    """Join the group that the environment describes, as ``torchrun`` sets it, until the end of the block.

    Args:
        device: This rank's own: ``cuda:n``, whose tensors NCCL carries, or ``cpu``; CPU tensors go by gloo.
        timeout: How long a rank waits for the others, at the start and later.

    Raises:
        RunError: If the environment is not whole, or not all ranks come.
    """
    on_cuda = device.startswith("cuda")
    try:
        if on_cuda:
            torch.cuda.set_device(device)
        store, rank, size = next(rendezvous("env://", timeout=timeout))
        store.set_timeout(timeout)
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if on_cuda else "gloo",
            store=store,
            rank=rank,
            world_size=size,
            timeout=timeout,
            device_id=torch.device(device) if on_cuda else None,
        )
    except (RuntimeError, ValueError, KeyError) as error:
        raise RunError(
            f"ranks must all come together at the start, as torchrun lets them ({_reason(error)})"
        ) from error
    whole = False
    try:
        yield Ranks(store, rank, size)
        whole = True
    finally:
        if whole or not on_cuda:  # NCCL would wait for ranks that are lost; the process can only end now
            distributed.destroy_process_group()


class RankBatches(Batches):
    """One rank's part of the batches of a data set; images and labels are shared with the whole, not copied.

    A rank takes as many columns of every epoch's plan as each other one. So all ranks together see the batches that one
    process would see, whatever their number.

    Args:
        whole: The batches of one process.
        group: The ranks.

    Raises:
        DataError: If the recipe's batch cannot be shared evenly.
    """

    def __init__(self, whole: Batches, group: Group) -> None:
        check_shares(whole.recipe, group)
        vars(self).update(vars(whole))
        share = whole.recipe.batch // group.size
        self._columns_of_rank = slice(group.rank * share, (group.rank + 1) * share)

    def _drawn(self, seed: int, epoch: int) -> EpochPlan:
        return super()._drawn(seed, epoch).columns(self._columns_of_rank)


def check_shares(recipe: Recipe, group: Group) -> None:
    """Check that ranks can share a recipe's batch.

    Raises:
        DataError: If they cannot, evenly.
    """
    if recipe.batch % group.size:
        raise DataError(
            f"a batch must be shared evenly by {group.size} ranks (recipe {recipe.name} has batch {recipe.batch})"
        )


def part_of(batches: Batches, group: Group) -> Batches:
    """The batches that this rank trains on; see :class:`RankBatches`."""
    return batches if group.size == 1 else RankBatches(batches, group)


def _digest(content: bytes | Mapping[str, Array]) -> bytes:
    if isinstance(content, bytes):
        return hashlib.sha256(content).digest()
    whole = hashlib.sha256()
    for name, array in content.items():
        whole.update(f"{name} {array.dtype} {array.shape}\n".encode())
        whole.update(np.ascontiguousarray(array).data)
    return whole.digest()


@contextmanager
def _all_take_part() -> Iterator[None]:
    """Say in a line of ours that a collective operation has failed."""
    try:
        yield
    except RuntimeError as error:
        raise RunError(f"every rank must go on to the end: another one is lost ({_reason(error)}); {RESUME}") from error


def _reason(error: Exception) -> str:
    """The first sentence of what torch says, without the place in its source."""
    return re.split(r"\.\s|\n", re.sub(r"^\[.*?\]:?\s*", "", str(error)), maxsplit=1)[0].rstrip(". ")
