import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from ticketkit.arch import parse_arch
from ticketkit.models import build_model, export_tensors, initialise, instantiate, load_model
from ticketkit.ticket import Ticket


def test_instantiate_and_export_are_inverse():
    arch = parse_arch("resnet14-w4")
    tensors = initialise(arch, 0)
    exported = export_tensors(instantiate(arch, tensors))
    assert list(exported) == [entry.name for entry in arch.state()]
    assert all(exported[name].tobytes() == tensors[name].tobytes() for name in tensors)


def test_initialisation_follows_the_seed_alone():
    arch = parse_arch("resnet8-w4")
    torch.manual_seed(1)
    first = initialise(arch, 5)
    state = torch.get_rng_state()
    again = initialise(arch, 5)
    assert torch.equal(torch.get_rng_state(), state), "the global generator must not be drawn from"
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    assert not np.array_equal(first["conv.weight"], initialise(arch, 6)["conv.weight"])


def test_initialisation_is_the_authors():
    tensors = initialise(parse_arch("resnet20"), 0)
    weight = tensors["blocks.5.conv2.weight"]
    assert weight.std() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.03)
    assert abs(weight.mean()) < 0.003
    scales = np.concatenate([array for name, array in tensors.items() if "bn" in name and name.endswith(".weight")])
    assert scales.min() >= 0
    assert scales.max() <= 1
    assert scales.mean() == pytest.approx(0.5, abs=0.05)
    assert not any(array.any() for name, array in tensors.items() if "bn" in name and name.endswith(".bias"))
    assert abs(tensors["fc.bias"]).max() <= 64**-0.5


def test_a_ticket_loads_as_a_module_with_its_masks(make_ticket: Callable[..., Ticket]):
    ticket = make_ticket("resnet8-w2", density=0.4)
    model, masks = load_model(ticket)
    for name, value in model.state_dict().items():
        assert np.array_equal(value.numpy(), ticket.tensors[name])
    assert masks.keys() == ticket.mask.keys()
    assert all(np.array_equal(mask.numpy(), ticket.mask[name]) for name, mask in masks.items())
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all(torch.equal(value, model.state_dict()[name]) for name, value in other.state_dict().items())


def test_a_module_gives_logits_for_any_image_size():
    for name, size in (("resnet8-w2", 8), ("resnet8-w2-pad", 32), ("resnet8-w2", 13)):
        model = build_model(parse_arch(name, in_channels=1, num_classes=7))
        assert model(torch.zeros(2, 1, size, size)).shape == (2, 7)


def test_the_pad_shortcut_is_option_a():
    model = build_model(parse_arch("resnet8-w2-pad", in_channels=1))
    shortcut = model.blocks[1].shortcut
    images = torch.arange(2 * 4 * 4, dtype=torch.float32).reshape(1, 2, 4, 4)
    out = shortcut(images)
    assert out.shape == (1, 4, 2, 2)
    assert torch.equal(out[:, :2], images[:, :, ::2, ::2])
    assert not out[:, 2:].any()
    assert isinstance(model.blocks[0].shortcut, nn.Identity)
