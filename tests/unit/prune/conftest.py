"""A network to be pruned, with images that fit it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from ticketkit.arch import FAMILIES, parse_arch
from ticketkit.mask import Mask
from ticketkit.models import initialise
from ticketkit.prune import Subject

MakeSubject = Callable[..., Subject]


@pytest.fixture(scope="session")
def make_subject() -> MakeSubject:
    """Make a subject: ``make_subject(arch_name, *, density=1.0, seed=0, images=7, batch=4, **kw)``.

    Weights are initial ones, also where the mask prunes; biases are moved off zero.
    The last batch is smaller than the others, unless ``batch`` divides ``images``. ``kw`` replaces fields.
    """

    def make(
        arch_name: str, *, density: float = 1.0, seed: int = 0, images: int = 7, batch: int = 4, **kw: object
    ) -> Subject:
        arch = parse_arch(arch_name)
        random = np.random.default_rng(seed)
        tensors = initialise(arch, seed)
        for name, value in tensors.items():
            if name.endswith("bias"):
                tensors[name] = value + 0.2 * random.standard_normal(value.shape, dtype=np.float32)
        masks = {}
        for name in arch.prunable_names():
            size = tensors[name].size
            kept = np.arange(size) < round(density * size)
            masks[name] = random.permutation(kept).reshape(tensors[name].shape)
        family = FAMILIES[arch.family]
        side = family.image_size(arch) or 6
        shape = (arch.in_channels, side, side)
        if family.image_channels(shape) != arch.in_channels:
            shape = (arch.in_channels, 1, 1)
        pixels = torch.from_numpy(random.standard_normal((images, *shape), dtype=np.float32))
        labels = torch.from_numpy(random.integers(0, arch.num_classes, images))

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            yield from zip(pixels.split(batch), labels.split(batch), strict=True)

        fields = {"arch": arch, "tensors": tensors, "mask": Mask(masks), "batches": batches, "seed": seed}
        return Subject(**(fields | kw))  # type: ignore[arg-type]

    return make
