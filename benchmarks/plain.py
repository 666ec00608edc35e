"""Training a masked network as a user would write it with PyTorch alone.

Images come from a ``Dataset`` that does what torchvision's ``CIFAR10`` does, through torchvision's transforms and a
``DataLoader`` with workers, pinned on CUDA. ``torch.nn.utils.prune`` masks the weights layer by layer in each forward
pass, SGD holds a tensor a parameter, and the loss is read after each step. On CUDA cuDNN searches for the fastest
kernels, which a plain script must ask for, and float32 is what PyTorch makes of it by default: convolutions in tf32.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from rounds import synchronise
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import prune
from torch.utils.data import DataLoader, Dataset

from ticketkit.arch import ArchSpec
from ticketkit.data import ImageData
from ticketkit.encoding import Array
from ticketkit.mask import Mask
from ticketkit.models import instantiate
from ticketkit.models.cifar_resnet import Block
from ticketkit.recipe import Recipe
from ticketkit.torchvision_compat import import_torchvision
from ticketkit.train.schedule import learning_rate

LEAD_IN = 2
"""Steps of a block before its time is taken, while workers start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What a plain loop leaves to its user.

    Attributes:
        device: ``cpu`` or ``cuda:n``.
        threads: Threads of the CPU's operators.
        bf16: Whether the forward pass runs under autocast to bfloat16.
        workers: Processes of the ``DataLoader``.
        channels_last: Whether the network and its images are laid out channels last.
    """

    device: str = "cpu"
    threads: int = 1
    bf16: bool = False
    workers: int = 0
    channels_last: bool = False

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use the threads, and let cuDNN search, inside the block."""
        before = torch.get_num_threads(), torch.backends.cudnn.benchmark
        torch.set_num_threads(self.threads)
        torch.backends.cudnn.benchmark = True
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.backends.cudnn.benchmark = before[1]


class PlainBlock(Block):
    """A basic block that replaces no activation in place, as it is mostly written."""

    def forward(self, images: Tensor) -> Tensor:
        """See :class:`Block`."""
        residual = functional.relu(self.bn1(self.conv1(images)))
        residual = self.bn2(self.conv2(residual))
        return functional.relu(residual + self.shortcut(images))


class Images(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's ``CIFAR10`` holds and gives them: an array, one PIL image at a time, transformed."""

    def __init__(self, images: Array, labels: Array, transform: Callable[[Image.Image], Tensor]) -> None:
        self._images = images.transpose(0, 2, 3, 1).copy().squeeze()  # grey images have no axis of channels
        self._labels = labels.tolist()
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), self._labels[index]


class PlainTraining:
    """A network, its optimiser and its images, and how a step is made.

    Args:
        arch: The network.
        tensors: Every tensor of it to start from.
        mask: The kept weights; all prunable ones are masked, if only by ones.
        data: The images.
        recipe: How to train; its shifts, mirroring and schedule.
        how: What is left to the user.

    Attributes:
        model: The network.
        steps_per_epoch: Steps of an epoch.
    """

    def __init__(
        self, arch: ArchSpec, tensors: dict[str, Array], mask: Mask, data: ImageData, recipe: Recipe, how: How
    ) -> None:
        self.model = instantiate(arch, tensors, how.device).train()
        for module in self.model.modules():
            if isinstance(module, Block):
                module.__class__ = PlainBlock
        self._layout = torch.channels_last if how.channels_last else torch.contiguous_format
        self.model.to(memory_format=self._layout)  # type: ignore[call-overload]  # torch's stubs lack it
        for name, kept in mask.items():
            owner, _, parameter = name.rpartition(".")
            module, ones = self.model.get_submodule(owner), torch.from_numpy(kept.copy())
            prune.custom_from_mask(module, parameter, ones)  # type: ignore[no-untyped-call]
        self._how, self._recipe = how, recipe
        self._train, self._test = _loaders(data, recipe, how)
        self.steps_per_epoch = len(self._train)
        self.restart(0)

    def restart(self, step: int) -> None:
        """Begin with a new optimiser at a step of the schedule."""
        recipe = self._recipe
        self._optimiser = torch.optim.SGD(
            self.model.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
        )
        self._step = step

    def step(self, images: Tensor, labels: Tensor) -> float:
        """Make one step on a batch; gives its loss."""
        device = self._how.device
        images = images.to(device, non_blocking=True, memory_format=self._layout)
        labels = labels.to(device, non_blocking=True)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self._recipe, self._step, self.steps_per_epoch)
        self._optimiser.zero_grad()
        with self._autocast():
            loss = functional.cross_entropy(self.model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self._step += 1
        return loss.item()

    def epoch(self) -> Generator[float, None, None]:
        """Make the steps of an epoch; gives the loss of each."""
        for images, labels in self._train:
            yield self.step(images, labels)

    def forever(self) -> Generator[float, None, None]:
        """The same epoch after epoch, shuffled anew; closing it ends the loader's workers."""
        while True:
            yield from self.epoch()

    def accuracy(self) -> float:
        """Test accuracy in [0, 1]."""
        self.model.eval()
        right = count = 0
        with torch.no_grad(), self._autocast():
            for images, labels in self._test:
                logits = self.model(images.to(self._how.device, memory_format=self._layout))
                right += int((logits.argmax(dim=1) == labels.to(self._how.device)).sum())
                count += len(labels)
        self.model.train()
        return right / count

    def rate(self, steps: int, seconds: float) -> float:
        """Images a second over some steps, once the loader's workers have started.

        Args:
            steps: How many, at most.
            seconds: No step begins after so long.
        """
        with self._how.applied():
            losses = self.forever()
            for _ in range(LEAD_IN):
                next(losses)
            synchronise(self._how.device)
            began = time.perf_counter()
            done = 0
            while done < steps and (not done or time.perf_counter() - began < seconds):
                next(losses)
                done += 1
            synchronise(self._how.device)
            spent = time.perf_counter() - began
            losses.close()  # ends the workers, which would disturb what is timed next
        return done * self._recipe.batch / spent

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._how.device.partition(":")[0], torch.bfloat16, enabled=self._how.bf16)


def _loaders(data: ImageData, recipe: Recipe, how: How) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """The loaders of training and test images."""
    import_torchvision()
    from torchvision import transforms

    mean, std = ([number / 255 for number in numbers] for numbers in (data.mean, data.std))
    plain = [transforms.ToTensor(), transforms.Normalize(mean, std)]
    augmentation: list[Any] = [transforms.RandomCrop(data.shape[1], padding=recipe.crop)] if recipe.crop else []
    if recipe.flip:
        augmentation.append(transforms.RandomHorizontalFlip())
    train_images, test_images = data.arrays
    options: dict[str, Any] = {"num_workers": how.workers, "pin_memory": how.device.startswith("cuda")}
    if how.workers and sys.platform == "linux":
        options["multiprocessing_context"] = "fork"  # as it is in a script, whatever started this process
    train = Images(train_images, data.train_labels, transforms.Compose([*augmentation, *plain]))
    test = Images(test_images, data.test_labels, transforms.Compose(plain))
    return (
        DataLoader(train, batch_size=recipe.batch, shuffle=True, drop_last=True, **options),
        DataLoader(test, batch_size=1_000, **options),
    )


def plain_rates(
    arch: ArchSpec,
    tensors: dict[str, Array],
    mask: Mask,
    data: ImageData,
    recipe: Recipe,
    ways: Mapping[str, How],
    steps: int,
    seconds: float,
) -> Callable[[str], float]:
    """Give a function that times one of several plain loops, by its name; for :class:`~elsewhere.Elsewhere`.

    Args:
        arch: The network; for the rest see :class:`PlainTraining`.
        tensors: Every tensor of it.
        mask: The kept weights.
        data: The images.
        recipe: How to train.
        ways: The loops, by name.
        steps: How many steps to time, at most.
        seconds: See :meth:`PlainTraining.rate`.
    """
    trainings = {name: PlainTraining(arch, tensors, mask, data, recipe, how) for name, how in ways.items()}
    return lambda name: trainings[name].rate(steps, seconds)
