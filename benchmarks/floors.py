"""What the hardware allows: the least time of a training step, by its FLOPs and by its bytes.

The FLOPs are those of :mod:`ticketkit.train.flops`, three forward passes with all weights, pruned ones included: no
kernel skips them. They are divided by the rate of a large matrix product in the same precision with as many threads.

The bytes are those of an ideal step that keeps no more in fast memory than a tile. Batch normalisation needs the
statistics of the whole batch before it can normalise, so each number that a convolution gives must pass through memory:

* forward: written by the convolution (which sums up the statistics as it goes), read by the next one, which
  normalises, rectifies and adds the shortcut as it reads: 2;
* backward: its gradient written by the convolution above, which sums up what normalisation's gradient needs and
  reads the number itself for that: 2; both read again, with the normalisation's gradient worked out on the way, for the
  gradients of input and weights together: 2; the convolution's input read for the gradient of the weights: 1;
* the shortcut, for the second convolution of each block: its input read in the forward pass, and its gradient added in
  the backward pass, 2 for every other convolution: 1.

That is eight a number, of four bytes, or two in bfloat16. Images are bytes, read once. Of each parameter there are
weight (read three times and written once), gradient, momentum (both read and written) and mask (read): 9 × 4 bytes.
They are divided by the bandwidth of a large copy, its reading and its writing both counted. Where the activations fit
into a cache, a step can be faster than this floor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from rounds import best_seconds, interleaved

from ticketkit.arch import ArchSpec
from ticketkit.train import Compute
from ticketkit.train.compute import Precision
from ticketkit.train.flops import layer_outputs, training_flops

PASSES_PER_OUTPUT = 8
PASSES_PER_PARAMETER = 9
MATRIX = {"cpu": 2_048, "cuda": 8_192}
COPIED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 31}
"""Sides of the matrices, and bytes of the buffer, large enough that caches and launches do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a device does at best, as measured.

    Attributes:
        flops: Of a matrix product, a second.
        bytes: Of a copy, read and written, a second.
    """

    flops: float
    bytes: float

    @classmethod
    def measured(cls, compute: Compute, *, shrink: int = 1) -> Machine:
        """Measure the device with its precision and threads, at once.

        Args:
            compute: Device, precision and threads.
            shrink: See :func:`machine_blocks`.
        """
        blocks = machine_blocks(compute, (compute.precision,), shrink=shrink)
        rates = {name: block.best for name, block in interleaved(blocks, rounds=5, seconds=10).items()}
        return cls(flops=rates[f"matrix {compute.precision}"], bytes=rates["copy"])


def machine_blocks(
    compute: Compute, precisions: Sequence[Precision], *, shrink: int = 1
) -> dict[str, Callable[[], float]]:
    """What measures a device, to be timed in turn with what it is compared with.

    Args:
        compute: Device and threads.
        precisions: Of the matrix products.
        shrink: Takes smaller matrices and buffers, by this factor, to try the code out.

    Returns:
        ``matrix PRECISION``, in FLOPs a second, and ``copy``, in bytes a second.
    """
    kind = "cuda" if compute.is_cuda else "cpu"
    side, numbers = MATRIX[kind] // shrink, COPIED_BYTES[kind] // 4 // shrink
    source = torch.ones(numbers, device=compute.device)
    target = torch.empty_like(source)

    def multiplying(way: Compute) -> float:
        dtype = torch.bfloat16 if way.precision == "bf16" else torch.float32
        left, right = (torch.ones(side, side, device=way.device, dtype=dtype) for _ in range(2))
        product = torch.empty_like(left)
        with way.applied():
            return 2 * side**3 / best_seconds(partial(torch.mm, left, right, out=product), way.device)

    def copying() -> float:
        with compute.applied():
            return 2 * 4 * numbers / best_seconds(partial(target.copy_, source), compute.device)

    products = {
        f"matrix {precision}": partial(multiplying, replace(compute, precision=precision)) for precision in precisions
    }
    return {**products, "copy": copying}


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The least time of a step on a machine, and what it is made of.

    Attributes:
        flops: Of a step.
        bytes: Of an ideal step.
        flop_seconds: Time that the FLOPs take.
        byte_seconds: Time that the bytes take.
    """

    flops: float
    bytes: float
    flop_seconds: float
    byte_seconds: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def floor_of(arch: ArchSpec, shape: tuple[int, int, int], batch: int, compute: Compute, machine: Machine) -> Floor:
    """The floors of one training step; see the module.

    Args:
        arch: The network.
        shape: Channels, height and width of an image.
        batch: Images a step.
        compute: In which precision.
        machine: What the device does at best, in that precision.
    """
    flops = training_flops(arch, shape, None, batch).dense
    number = 2 if compute.precision == "bf16" else 4
    channels, height, width = shape
    activations = PASSES_PER_OUTPUT * number * layer_outputs(arch, shape) * batch
    passed = activations + channels * height * width * batch + PASSES_PER_PARAMETER * 4 * arch.parameters
    return Floor(flops=flops, bytes=passed, flop_seconds=flops / machine.flops, byte_seconds=passed / machine.bytes)
