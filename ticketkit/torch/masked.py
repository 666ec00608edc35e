"""A model that stays masked while a loop of your own trains it, with any optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ticketkit.arch import ArchSpec
from ticketkit.errors import MaskError
from ticketkit.fractions import WithFractions
from ticketkit.mask import Mask
from ticketkit.provenance import Provenance, Results, Tool, Weights
from ticketkit.ticket import Ticket
from ticketkit.torch.bridge import Names, apply, ticket_from_model
from ticketkit.torch.names import parameter_at, plain_name, unwrapped


class Masked(WithFractions):
    """Masks beside a model, which set its pruned weights to zero whenever you say so.

    Three lines mask a model, keep it masked and give the trained ticket::

        masked = Masked.from_ticket(model, ticket)
        for images, labels in batches:
            loss(model(images), labels).backward()
            optimiser.step()
            masked.apply()
            optimiser.zero_grad()
        trained = masked.to_ticket()

    Nothing is hooked into the model, and nothing is added to its ``state_dict``. Masks follow the parameters: the model
    may be moved, compiled, wrapped, loaded or copied before and after, and ``DistributedDataParallel``,
    ``DataParallel``, ``AveragedModel`` and ``torch.compile`` are seen through. Parameters that another module takes
    apart or shares out, such as FSDP's, are not.

    *What is needed when.* :meth:`apply` after each step is enough for every optimiser that computes each weight's
    update from that weight's own gradient and state: SGD with momentum and weight decay, Adam and AdamW, RMSprop,
    Adagrad and their like. What they keep for a pruned weight never reaches a kept one. Call :meth:`mask_gradients`
    before the step *too* where something looks at a whole tensor or at all of them: clipping by the norm of the
    gradients, Muon, LARS, LAMB, Adafactor, LBFGS. It is also what keeps momentum at zero where a weight is pruned.

    Args:
        model: The model; its pruned weights become zero at once.
        masks: For each masked parameter, by its name in the model, a tensor or array of its shape, ones or True where
            a weight is kept, zeros or False where not.
        names: What the model calls a network's tensors, where the names differ; for :meth:`to_ticket`.

    Raises:
        MaskError: If a mask is of no parameter, of another shape, or holds anything but zeros and ones.

    Examples:
        >>> import torch
        >>> from torch.nn.functional import cross_entropy
        >>> ticket = ticketkit.load_ticket("resnet20.st")
        >>> model = ticketkit.build_model(ticket.arch)
        >>> optimiser = torch.optim.AdamW(model.parameters())
        >>> masked = ticketkit.Masked.from_ticket(model, ticket)
        >>> for _ in range(2):
        ...     loss = cross_entropy(model(torch.randn(4, 3, 8, 8)), torch.tensor([0, 1, 2, 3]))
        ...     loss.backward()
        ...     optimiser.step()
        ...     masked.apply()
        ...     optimiser.zero_grad()
        >>> masked.holds(), masked.to_ticket().mask == ticket.mask
        (True, True)
    """

    def __init__(self, model: nn.Module, masks: Mapping[str, Any], *, names: Names | None = None) -> None:
        self.model = model
        self._root = unwrapped(model)
        self._names = names
        self._origin: tuple[ArchSpec, Provenance] | None = None
        # A mask has its parameter's own type: multiplying by a boolean one takes several times as long.
        self._masks: dict[str, Tensor] = {}
        plain = dict(zip(_parameter_names(model), map(plain_name, _parameter_names(self._root)), strict=True))
        for given, mask in masks.items():
            name = plain.get(given, given)
            weight = parameter_at(self._root, tuple(name.split(".")))
            if weight is None:
                raise MaskError(f"a mask must be of one of the model's parameters (got {given})")
            kept = mask.detach() if isinstance(mask, Tensor) else torch.from_numpy(np.array(mask))
            if kept.shape != weight.shape:
                raise MaskError(f"the mask of {given} must have its shape {_shape(weight)} (got {_shape(kept)})")
            if not torch.equal(kept, (kept != 0).to(kept.dtype)):
                raise MaskError(f"the mask of {given} must hold zeros and ones only (it does not)")
            self._masks[name] = kept.to(weight.device, weight.dtype, copy=True)
        self._paths = {name: tuple(name.split(".")) for name in self._masks}
        mask = self.mask  # refuses to cover nothing
        self._kept, self._total = mask.kept, mask.total
        self.apply()

    @classmethod
    def from_ticket(cls, model: nn.Module, ticket: Ticket, *, names: Names | None = None) -> Self:
        """Load a ticket's weights into a model, zeros where pruned, and mask it.

        Args:
            model: A module whose ``state_dict`` has the shapes of the ticket's network, and its names but for
                ``names``. It keeps its device and element types.
            ticket: The ticket.
            names: What the model calls the ticket's tensors, where the names differ.

        Raises:
            MaskError: If the model has other tensors than the ticket; it is then as it was.
        """
        masked = cls(model, apply(ticket, model, names=names), names=names)
        masked._origin = ticket.arch, ticket.provenance
        return masked

    def apply(self) -> None:
        """Set every pruned weight to zero, in place; after each optimiser step.

        It costs one multiplication a masked weight, and as it changes nothing that holds already, it may also follow
        a step that was skipped. A weight that is not a finite number stays so: :meth:`holds` tells.
        """
        with torch.no_grad():
            torch._foreach_mul_(*self._weights_and_masks())

    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero, in place; before the step, and before clipping.

        With a gradient scaler that is after ``unscale_``. Parameters without a gradient are passed over.
        """
        pairs = [(w.grad, m) for w, m in zip(*self._weights_and_masks(), strict=True) if w.grad is not None]
        if pairs:
            with torch.no_grad():
                torch._foreach_mul_([gradient for gradient, _ in pairs], [mask for _, mask in pairs])

    def holds(self) -> bool:
        """Whether every pruned weight is exactly zero now."""
        return next(self._astray(), None) is None

    @property
    def masks(self) -> dict[str, Tensor]:
        """For each masked parameter's name a new boolean tensor on its device, True where a weight is kept."""
        return {name: mask != 0 for name, mask in self._masks.items()}

    @property
    def mask(self) -> Mask:
        """The kept weights, as arrays."""
        return Mask({name: mask.cpu().numpy() for name, mask in self.masks.items()})

    @property
    def kept(self) -> int:
        """Number of kept weights."""
        return self._kept

    @property
    def total(self) -> int:
        """Number of masked weights, kept or not."""
        return self._total

    def to_ticket(
        self,
        arch: ArchSpec | str | None = None,
        *,
        weights: Weights | None = None,
        provenance: Provenance | None = None,
        results: Results | None = None,
    ) -> Ticket:
        """Make a ticket of the model as it is now; its tensors are copied.

        Args:
            arch: The network, or its name; that of the ticket it was made from if not given.
            weights: Which weights these are; ``final``, of no particular step, if not given.
            provenance: How they came to be. If not given that of the ticket it was made from, as the mask is the same,
                and without one the method ``custom`` and no more.
            results: What was measured with them.

        Raises:
            ArchError: If there is no network of this name.
            MaskError: If model and network do not fit each other, or a pruned weight is not zero.
        """
        if arch is None:
            if self._origin is None:
                raise MaskError("to_ticket must be told the network (only masks were given, and no ticket)")
            arch = self._origin[0]
        for name, count in self._astray():
            raise MaskError(f"pruned weights of {name} must be zero ({count:,} are not): call apply() after each step")
        if provenance is None and self._origin is not None:
            provenance = replace(self._origin[1], tool=Tool(), created=None)
        return ticket_from_model(
            self.model, self.masks, arch, names=self._names, weights=weights, provenance=provenance, results=results
        )

    def __repr__(self) -> str:
        return f"Masked({len(self._masks)} tensors, {self.kept:,} of {self.total:,} kept, sparsity {self.sparsity:.2%})"

    def _weights_and_masks(self) -> tuple[list[Tensor], list[Tensor]]:
        """The masked parameters as the model has them now, and their masks, on one device and of one type each."""
        weights: list[Tensor] = []
        for name, path in self._paths.items():
            weight = parameter_at(self._root, path)
            if weight is None:
                raise MaskError(f"a masked model must keep its parameters ({name} is gone)")
            mask = self._masks[name]
            if mask.device != weight.device or mask.dtype != weight.dtype:
                self._masks[name] = mask.to(weight.device, weight.dtype)
            weights.append(weight)
        return weights, list(self._masks.values())

    def _astray(self) -> Iterator[tuple[str, int]]:
        """Each masked parameter with pruned weights that are not zero, and their number."""
        for name, weight, mask in zip(self._masks, *self._weights_and_masks(), strict=True):
            if count := int(torch.count_nonzero(weight.detach()[mask == 0])):
                yield name, count


def _parameter_names(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_parameters(remove_duplicate=False)]


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
