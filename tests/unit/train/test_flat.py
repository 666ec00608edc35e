import numpy as np
import pytest
import torch
from torch import nn

from ticketkit.train.flat import FlatParameters


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))


def masks_of(model: nn.Module) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.random(model.get_parameter(name).shape) < 0.5 for name in ("0.weight", "3.weight")}


def loss_of(model: nn.Module) -> torch.Tensor:
    images = torch.arange(2 * 2 * 4 * 4, dtype=torch.float32).reshape(2, 2, 4, 4).sin()
    return nn.functional.cross_entropy(model(images), torch.tensor([0, 1]))


def test_parameters_keep_their_values_and_share_one_buffer(model: nn.Module):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flat = FlatParameters(model, {})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        flat.values += 1
    assert all(torch.equal(value, before[name] + 1) for name, value in model.named_parameters())


def test_pruned_weights_become_positive_zero(model: nn.Module):
    masks = masks_of(model)
    flat = FlatParameters(model, masks)
    weight = model.get_parameter("0.weight").detach().numpy()
    assert (weight[~masks["0.weight"]] == 0).all()
    assert not np.signbit(weight[~masks["0.weight"]]).any()
    assert (weight[masks["0.weight"]] != 0).all()
    assert flat.pruned_are_zero()


def test_it_knows_the_parts_that_are_masked_and_what_they_keep(model: nn.Module):
    masks = masks_of(model)
    flat = FlatParameters(model, masks)
    assert list(flat.masked) == ["0.weight", "3.weight"]
    for name, (part, kept) in flat.masked.items():
        weight = model.get_parameter(name).detach()
        assert torch.equal(flat.values[part].sort().values, weight.flatten().sort().values)
        assert kept == masks[name].sum() == flat.mask[part].sum()
    assert (flat.mask == 0).sum() == sum((~mask).sum() for mask in masks.values()), "and nothing else is"


def test_gradients_are_those_of_the_module(model: nn.Module):
    loss_of(model).backward()
    expected = {name: value.grad.clone() for name, value in model.named_parameters()}
    model.zero_grad()
    flat = FlatParameters(model, {})
    for _ in range(2):  # a second pass must not add to the first
        flat.differentiate(loss_of(model))
    with torch.no_grad():
        flat.values.copy_(flat.gradients)  # seen through the parameters, each in its shape
    for name, value in model.named_parameters():
        torch.testing.assert_close(value.detach(), expected[name])
    assert flat.gradients.abs().sum() > 0


def test_momentum_and_decay_never_revive_a_pruned_weight(model: nn.Module):
    flat = FlatParameters(model, masks_of(model))
    optimiser = torch.optim.SGD([flat.values], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1, fused=True)
    for _ in range(5):
        flat.differentiate(loss_of(model))
        flat.mask_gradients()
        optimiser.step()
    assert flat.pruned_are_zero()
    assert (flat.momentum(optimiser)[flat.mask.numpy() == 0] == 0).all()


def test_the_check_sees_a_revived_weight(model: nn.Module):
    flat = FlatParameters(model, masks_of(model))
    optimiser = torch.optim.SGD([flat.values], lr=0.1)
    flat.differentiate(loss_of(model))
    optimiser.step()  # without masking
    assert not flat.pruned_are_zero()


def test_a_step_equals_a_masked_step_of_plain_pytorch(model: nn.Module):
    masks = masks_of(model)
    plain = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))
    plain.load_state_dict(model.state_dict())
    settings = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
    tensors = {name: torch.from_numpy(mask).float() for name, mask in masks.items()}
    reference = torch.optim.SGD(plain.parameters(), **settings)
    flat = FlatParameters(model, masks)
    optimiser = torch.optim.SGD([flat.values], fused=True, **settings)
    with torch.no_grad():
        for name, mask in tensors.items():
            plain.get_parameter(name).mul_(mask)
    for _ in range(4):
        reference.zero_grad()
        loss_of(plain).backward()
        reference.step()
        with torch.no_grad():
            for name, mask in tensors.items():
                plain.get_parameter(name).mul_(mask)
        flat.differentiate(loss_of(model))
        flat.mask_gradients()
        optimiser.step()
    for name, value in model.named_parameters():
        torch.testing.assert_close(value, plain.get_parameter(name), rtol=1e-5, atol=1e-7)


def test_momentum_moves_to_another_optimiser(model: nn.Module):
    flat = FlatParameters(model, {})
    optimiser = torch.optim.SGD([flat.values], lr=0.1, momentum=0.9)
    assert not flat.momentum(optimiser).any()
    flat.differentiate(loss_of(model))
    optimiser.step()
    other = torch.optim.SGD([flat.values], lr=0.1, momentum=0.9)
    flat.set_momentum(other, flat.momentum(optimiser))
    assert np.array_equal(flat.momentum(other), flat.momentum(optimiser))
    assert flat.momentum(other).any()
