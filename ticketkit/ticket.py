"""A ticket: a network's mask and the weights under it, as an immutable value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.document import describe
from ticketkit.encoding import Array, Bitmask, Dense, Stored
from ticketkit.errors import MaskError
from ticketkit.fractions import WithFractions
from ticketkit.mask import BoolArray, Mask
from ticketkit.provenance import Provenance, Results, Weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Ticket(WithFractions):
    """A sparse subnetwork and the weights it starts training from.

    It holds its tensors as they are stored, a bit a weight and the kept weights, and decodes on access. Use
    :meth:`from_arrays` to make one from dense arrays.

    Attributes:
        arch: The network.
        stored: Every tensor of the network in stored form, by its ``state_dict`` name, in execution order. Those
            stored as ``Bitmask`` are the ticket's prunable tensors.
        weights: Which weights these are: of initialisation, of an early training step, or of the end.
        provenance: How the ticket came to be.
        results: What was measured with it, if anything.

    Raises:
        MaskError: If the tensors are not exactly the network's, in name, shape and type, or one is masked that is
            not the weight of a convolution, a linear layer or an attention.

    Examples:
        >>> ticket = ticketkit.load_ticket("resnet20.st")
        >>> ticket.mask["blocks.4.conv1.weight"].dtype, ticket.tensors["blocks.4.conv1.weight"].shape
        (dtype('bool'), (32, 32, 3, 3))
        >>> ticket.id.startswith("sha256:")
        True
    """

    arch: ArchSpec
    stored: Mapping[str, Stored]
    weights: Weights
    provenance: Provenance
    results: Results | None = None

    def __post_init__(self) -> None:
        expected = {entry.name: entry for entry in self.arch.state()}
        if missing := expected.keys() - self.stored.keys():
            raise MaskError(f"a ticket of {self.arch.name} must hold {min(missing)} (got none)")
        if unknown := self.stored.keys() - expected.keys():
            raise MaskError(f"a ticket of {self.arch.name} must hold its own tensors only (got {min(unknown)})")
        for name, entry in expected.items():
            stored, tensor = self.stored[name], entry.tensor
            if stored.shape != tensor.shape:
                raise MaskError(f"{name} of {self.arch.name} must have shape {tensor.shape} (got {stored.shape})")
            if (stored.dtype == "I64") != (tensor.dtype == "I64"):
                raise MaskError(f"{name} of {self.arch.name} must be of type {tensor.dtype} (got {stored.dtype})")
            if isinstance(stored, Bitmask):
                if not entry.prunable:
                    raise MaskError(
                        f"a mask must cover weights of conv2d, linear and attention layers only (got {name})"
                    )
                stored.check(name)
        ordered = {name: self.stored[name] for name in expected}
        if not any(isinstance(stored, Bitmask) for stored in ordered.values()):
            raise MaskError("a ticket must have at least one masked tensor (got none)")
        object.__setattr__(self, "stored", MappingProxyType(ordered))

    @classmethod
    def from_arrays(
        cls,
        arch: ArchSpec,
        tensors: Mapping[str, Array],
        mask: Mask,
        *,
        weights: Weights,
        provenance: Provenance,
        results: Results | None = None,
    ) -> Ticket:
        """Make a ticket from dense arrays and a mask; the arrays are copied.

        Args:
            arch: The network.
            tensors: Every tensor of the network by its ``state_dict`` name, in its dense shape. Pruned weights may
                have any value; they are not kept.
            mask: The kept weights; the tensors it covers are the ticket's prunable ones.
            weights: Which weights these are.
            provenance: How they came to be.
            results: What was measured with them.

        Raises:
            MaskError: If arrays, mask and network do not fit each other.
        """
        if unknown := mask.keys() - tensors.keys():
            raise MaskError(f"a mask must cover tensors of {arch.name} only (got {min(unknown)})")
        stored: dict[str, Stored] = {}
        for name, array in tensors.items():
            if name in mask:
                stored[name] = Bitmask.encode(array, mask[name])
            else:
                stored[name] = Dense(array.copy())
        return cls(arch=arch, stored=stored, weights=weights, provenance=provenance, results=results)

    @classmethod
    def from_model(
        cls,
        model: Stateful,
        masks: Mapping[str, Any],
        arch: ArchSpec | str,
        *,
        weights: Weights | None = None,
        provenance: Provenance | None = None,
        results: Results | None = None,
    ) -> Ticket:
        """Make a ticket from a model of your own training loop; its tensors are copied.

        Args:
            model: A module whose ``state_dict`` has the network's tensors, on any device.
            masks: For each masked tensor's ``state_dict`` name a tensor or array of its shape, ones or True where a
                weight is kept, zeros or False where not.
            arch: The network, or its name; a name alone means 10 classes and 3 input channels.
            weights: Which weights these are; ``final``, of no particular step, if not given.
            provenance: How they came to be; the method ``custom`` and no more if not given.
            results: What was measured with them.

        Raises:
            ArchError: If there is no network of this name.
            MaskError: If model, masks and network do not fit each other.
        """
        return cls.from_arrays(
            arch if isinstance(arch, ArchSpec) else parse_arch(arch),
            {name: _copied(name, tensor) for name, tensor in model.state_dict().items()},
            Mask({name: kept_from(name, _copied(name, mask)) for name, mask in masks.items()}),
            weights=weights or Weights(role="final"),
            provenance=provenance or Provenance(method="custom"),
            results=results,
        )

    @cached_property
    def mask(self) -> Mask:
        """The kept weights of every prunable tensor."""
        masks = {name: stored.mask() for name, stored in self.stored.items() if isinstance(stored, Bitmask)}
        for array in masks.values():
            array.flags.writeable = False  # so that they need not be copied to be safe
        return Mask(masks)

    @property
    def tensors(self) -> Mapping[str, Array]:
        """Every tensor in its dense shape, zeros where pruned; each access decodes a new array."""
        return _Decoded(self.stored)

    @property
    def kept(self) -> int:
        """Number of kept weights, without decoding the mask."""
        return sum(s.kept for s in self.stored.values() if isinstance(s, Bitmask))

    @property
    def total(self) -> int:
        """Number of prunable weights."""
        return sum(s.size for s in self.stored.values() if isinstance(s, Bitmask))

    @property
    def document(self) -> Mapping[str, Any]:
        """The metadata document, as plain JSON values."""
        return MappingProxyType(self._described[0])

    @property
    def document_text(self) -> str:
        """The metadata document in its canonical form (RFC 8785), as a file holds it."""
        return self._described[1]

    @cached_property
    def _described(self) -> tuple[dict[str, Any], str]:
        return describe(self.arch, self.stored, self.weights, self.provenance, self.results)

    @property
    def id(self) -> str:
        """``sha256:…``, which names and guards the whole content."""
        return str(self.document["id"])

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, Ticket) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Ticket({self.arch.name}, {self.kept:,} of {self.total:,} kept, sparsity {self.sparsity:.2%})"


class _Decoded(Mapping[str, Array]):
    """A view of stored tensors that decodes one when it is asked for."""

    def __init__(self, stored: Mapping[str, Stored]) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> Array:
        return self._stored[name].decode()

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


class Stateful(Protocol):
    """What :meth:`~ticketkit.Ticket.from_model` needs of a model; every ``torch.nn.Module`` has it."""

    def state_dict(self) -> Mapping[str, Any]:
        """The model's tensors by name."""


def kept_from(name: str, array: Array) -> BoolArray:
    """Read a mask of ones and zeros, of any type, as a boolean one.

    Raises:
        MaskError: If it holds anything else.
    """
    kept = array.astype(np.bool_)
    if not np.array_equal(kept, array):
        raise MaskError(f"the mask of {name} must hold zeros and ones only (it does not)")
    return kept


def _copied(name: str, tensor: Any) -> Array:
    """A tensor of torch or numpy as a new array; duck-typed, so that tickets need no torch."""
    try:
        found = tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else tensor
    except (TypeError, RuntimeError) as error:  # what numpy has no type for, and sparse layouts
        raise MaskError(f"{name} must be a dense tensor of one of numpy's types (got {tensor.dtype})") from error
    return np.array(found)


def same_values(left: Ticket, right: Ticket) -> bool:
    """Whether two tickets hold the same network, mask and weights bit for bit, whatever their provenance."""
    return left.arch == right.arch and all(
        left.stored[name].sha256 == right.stored[name].sha256
        and isinstance(left.stored[name], Bitmask) == isinstance(right.stored[name], Bitmask)
        for name in left.stored
    )
