"""``ticketkit.torch`` and ``Ticket.from_model``: tickets in a training loop of one's own."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from ticketkit.arch import parse_arch
from ticketkit.errors import ArchError, MaskError
from ticketkit.models import build_model, load_model
from ticketkit.provenance import Provenance, Weights
from ticketkit.ticket import Ticket, same_values
from ticketkit.torch import apply, ticket_from_model

MakeTicket = Callable[..., Ticket]


def _loaded(ticket: Ticket) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return load_model(ticket)


def _applied(ticket: Ticket) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    model = build_model(ticket.arch)
    return model, apply(ticket, model)


@pytest.mark.parametrize("give", [_loaded, _applied])
def test_the_model_holds_the_ticket(
    give: Callable[[Ticket], tuple[nn.Module, dict[str, torch.Tensor]]], make_ticket: MakeTicket
) -> None:
    ticket = make_ticket()
    model, masks = give(ticket)
    assert list(masks) == list(ticket.mask)
    assert all(mask.dtype == torch.bool and np.array_equal(mask, ticket.mask[name]) for name, mask in masks.items())
    assert same_values(ticket_from_model(model, masks, "resnet8-w2"), ticket)


@pytest.mark.parametrize("give", [_loaded, _applied])
def test_copies_and_pickles_are_whole_and_nothing_is_hooked_in(
    give: Callable[[Ticket], tuple[nn.Module, dict[str, torch.Tensor]]], make_ticket: MakeTicket
) -> None:
    ticket = make_ticket()
    model, masks = give(ticket)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(buffer, weights_only=False)]
    for copied in copies:
        assert same_values(ticket_from_model(copied, masks, "resnet8-w2"), ticket)
    # The weights are plain parameters under their own names: no hook, no parametrisation, no buffer of masks.
    for module in model.modules():
        for hooks in ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks", "_state_dict_hooks"):
            assert not getattr(module, hooks)
    assert set(dict(model.named_parameters())) >= set(masks)
    assert set(model.state_dict()) == set(ticket.tensors)
    with torch.no_grad():
        model.get_parameter("fc.weight").add_(1)
    assert same_values(ticket_from_model(copies[0], masks, "resnet8-w2"), ticket)


def test_a_model_of_other_tensors_is_refused_untouched(make_ticket: MakeTicket) -> None:
    ticket = make_ticket()
    for name, error in (
        ("resnet14-w2", r"must have every tensor of cifar-resnet8-w2 \(blocks\.1\.shortcut\.0\.weight is missing"),
        ("resnet8-w2", r"must have the tensors of cifar-resnet8-w2 only \(got extra\.bias"),
        ("resnet8-w4", r"must have shape \(2, 3, 3, 3\) \(got \(4, 3, 3, 3\)\)"),
    ):
        model = build_model(parse_arch(name))
        if name == ticket.arch.short_name:
            model.add_module("extra", nn.Linear(1, 1))
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(MaskError, match=error):
            apply(ticket, model)
        assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    with pytest.raises(MaskError, match=r"must have every tensor of cifar-resnet8-w2"):
        apply(ticket, nn.Linear(2, 2))


def test_the_model_keeps_its_types(make_ticket: MakeTicket) -> None:
    model = build_model(make_ticket().arch).half()
    apply(make_ticket(), model)
    assert model.get_parameter("fc.weight").dtype == torch.float16


@pytest.mark.parametrize("as_mask", [lambda m: m, lambda m: m.int(), lambda m: m.float(), lambda m: m.numpy()])
def test_masks_of_any_type_will_do(as_mask: Callable[[torch.Tensor], object], make_ticket: MakeTicket) -> None:
    ticket = make_ticket(num_classes=4, in_channels=1)
    model, masks = load_model(ticket)
    given = {name: as_mask(mask) for name, mask in masks.items()}
    assert same_values(Ticket.from_model(model, given, ticket.arch), ticket)
    assert same_values(ticket_from_model(model, given, "resnet8-w2"), ticket)


def test_what_is_said_of_the_weights_is_kept(make_ticket: MakeTicket) -> None:
    model, masks = load_model(make_ticket())
    plain = Ticket.from_model(model, masks, "resnet8-w2")
    assert (plain.weights, plain.provenance.method) == (Weights(role="final"), "custom")
    weights, provenance = Weights(role="rewind", step=3), Provenance(method="imp", level=2)
    said = Ticket.from_model(model, masks, "resnet8-w2", weights=weights, provenance=provenance)
    assert (said.weights, said.provenance) == (weights, provenance)


def test_later_training_does_not_reach_the_ticket(make_ticket: MakeTicket) -> None:
    model, masks = load_model(make_ticket())
    ticket = Ticket.from_model(model, masks, "resnet8-w2")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for mask in masks.values():
            mask.zero_()
    assert same_values(ticket, make_ticket())


def test_what_does_not_fit_is_refused(make_ticket: MakeTicket) -> None:
    model, masks = load_model(make_ticket())
    with pytest.raises(ArchError, match="nearest"):
        Ticket.from_model(model, masks, "resnet9")
    with pytest.raises(MaskError, match=r"blocks\.3"):
        Ticket.from_model(model, masks, "resnet14-w2")
    with pytest.raises(MaskError, match=r"mask of fc\.weight must hold zeros and ones only"):
        Ticket.from_model(model, masks | {"fc.weight": torch.full((10, 8), 0.5)}, "resnet8-w2")
    with pytest.raises(MaskError, match=r"must have its tensor's shape"):
        Ticket.from_model(model, masks | {"fc.weight": torch.ones(2, 2)}, "resnet8-w2")
    with pytest.raises(MaskError, match="dense tensor of one of numpy's types"):
        Ticket.from_model(model.bfloat16(), masks, "resnet8-w2")
