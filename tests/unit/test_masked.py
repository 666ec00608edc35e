"""``ticketkit.Masked``: a model that stays masked in a training loop of one's own."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from ticketkit import Masked
from ticketkit.arch import parse_arch
from ticketkit.bundle import load_ticket, save_ticket
from ticketkit.errors import ArchError, MaskError
from ticketkit.models import build_model, load_model
from ticketkit.provenance import Provenance, Weights
from ticketkit.ticket import Ticket, same_values
from ticketkit.torch import apply

MakeTicket = Callable[..., Ticket]
Optimiser = Callable[[Iterable[Any]], torch.optim.Optimizer]

ARCH = "mlp-12-6-6-4"
OPTIMISERS: dict[str, Optimiser] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "sgd-foreach": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, foreach=True),
    "sgd-fused": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1, fused=True),
    "adam": lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.1, amsgrad=True),
    "adamw-foreach": lambda p: torch.optim.AdamW(p, 0.1, foreach=True),
    "adamw-fused": lambda p: torch.optim.AdamW(p, 0.1, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.1, momentum=0.9, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.1),
    "adadelta": lambda p: torch.optim.Adadelta(p, 1.0),
    "adamax": lambda p: torch.optim.Adamax(p, 0.1),
    "nadam": lambda p: torch.optim.NAdam(p, 0.1),
    "radam": lambda p: torch.optim.RAdam(p, 0.1),
    "rprop": lambda p: torch.optim.Rprop(p, 0.1),
    "asgd": lambda p: torch.optim.ASGD(p, 0.1),
}
"""Optimisers that compute a weight's update from its own gradient and state alone."""


@pytest.fixture
def ticket(make_ticket: MakeTicket) -> Ticket:
    return make_ticket(ARCH)


def masked_model(ticket: Ticket) -> Masked:
    return Masked.from_ticket(build_model(ticket.arch), ticket)


def loss_of(model: nn.Module, number: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(number)
    inputs, targets = torch.randn(8, 12, generator=random), torch.randint(0, 4, (8,), generator=random)
    return functional.cross_entropy(model(inputs), targets)


def take_steps(
    masked: Masked,
    make: Optimiser,
    *,
    mask_gradients: bool = False,
    clip: float | None = None,
    keep: bool = True,
    count: int = 4,
) -> torch.optim.Optimizer:
    """Train for some steps, in two groups of parameters."""
    parameters = list(masked.model.parameters())
    optimiser = make([{"params": parameters[:2]}, {"params": parameters[2:]}])
    for number in range(count):
        optimiser.zero_grad()
        loss_of(masked.model, number).backward()
        if mask_gradients:
            masked.mask_gradients()
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimiser.step()
        if keep:
            masked.apply()
    return optimiser


def values(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


# --- into the model and out of it


def test_a_ticket_goes_in_and_comes_out(ticket: Ticket) -> None:
    masked = masked_model(ticket)
    assert same_values(masked.to_ticket(), ticket)
    assert (masked.kept, masked.total, masked.sparsity) == (ticket.kept, ticket.total, ticket.sparsity)
    assert masked.mask == ticket.mask
    assert masked.holds()
    assert repr(masked).startswith(f"Masked({len(ticket.mask)} tensors, ")


def test_masks_alone_prune_at_once(ticket: Ticket) -> None:
    model = build_model(ticket.arch)
    dense = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    masked = Masked(model, ticket.mask)
    for name, tensor in model.state_dict().items():
        kept = torch.from_numpy(ticket.mask[name].copy()) if name in ticket.mask else torch.ones_like(tensor)
        assert torch.equal(tensor, dense[name] * kept)
    made = masked.to_ticket(ARCH)
    assert made.mask == ticket.mask
    assert (made.weights, made.provenance) == (Weights(role="final"), Provenance(method="custom"))
    with pytest.raises(MaskError, match=r"^to_ticket must be told the network"):
        masked.to_ticket()


@pytest.mark.parametrize("as_mask", [np.asarray, torch.tensor, lambda m: torch.tensor(m).bfloat16(), lambda m: m * 1])
def test_masks_of_any_type_will_do(as_mask: Callable[[np.ndarray], Any], ticket: Ticket) -> None:
    masked = Masked(build_model(ticket.arch), {name: as_mask(mask) for name, mask in ticket.mask.items()})
    assert masked.mask == ticket.mask


def test_the_story_of_the_mask_goes_on(ticket: Ticket) -> None:
    masked = masked_model(ticket)
    assert masked.to_ticket().provenance == ticket.provenance
    assert masked.to_ticket().weights == Weights(role="final")
    said = Provenance(method="other")
    assert masked.to_ticket(provenance=said, weights=Weights(role="init")).provenance == said


def test_masks_are_not_the_givers_any_more(ticket: Ticket) -> None:
    model, masks = load_model(ticket)
    masked = Masked(model, {name: mask.float() for name, mask in masks.items()})
    for mask in (*masks.values(), *masked.masks.values()):
        mask.zero_()
    masked.apply()
    assert masked.mask == ticket.mask


def test_a_model_with_names_of_its_own(ticket: Ticket) -> None:
    layers = nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4))
    modules = {"fc_layers.0": "0", "fc_layers.1": "2", "fc": "4"}
    names = {f"{ours}.{leaf}": f"{own}.{leaf}" for ours, own in modules.items() for leaf in ("weight", "bias")}
    masked = Masked.from_ticket(layers, ticket, names=names)
    assert set(masked.masks) == {names[name] for name in ticket.mask}
    assert torch.equal(loss_of(layers), loss_of(load_model(ticket)[0]))
    assert same_values(masked.to_ticket(), ticket)
    assert same_values(Masked(layers, masked.masks, names=names).to_ticket(ARCH), ticket)
    with pytest.raises(MaskError, match=r"fc\.bias is missing"):
        Masked.from_ticket(layers, ticket)
    with pytest.raises(MaskError, match=r"^names must be of tensors of mlp-12-6-6-4 \(got conv\.weight\)$"):
        apply(ticket, layers, names={"conv.weight": "0.weight"})
    with pytest.raises(MaskError, match=r"^a model must have the tensors of .* only \(got 0\.weight\)$"):
        apply(ticket, layers, names=names | {"fc_layers.0.weight": "2.weight"})


def test_bfloat16_comes_out_as_float32(ticket: Ticket) -> None:
    masked = Masked.from_ticket(build_model(ticket.arch).bfloat16(), ticket)
    made = masked.to_ticket()
    assert made.mask == ticket.mask
    assert np.array_equal(made.tensors["fc.bias"], masked.model.get_parameter("fc.bias").detach().float().numpy())


# --- training, with any optimiser


@pytest.mark.parametrize("name", OPTIMISERS)
def test_applying_after_each_step_is_all_that_most_optimisers_need(name: str, ticket: Ticket) -> None:
    plain, careful, loose = (masked_model(ticket) for _ in range(3))
    take_steps(plain, OPTIMISERS[name])
    take_steps(careful, OPTIMISERS[name], mask_gradients=True)
    take_steps(loose, OPTIMISERS[name], keep=False)
    assert plain.holds()
    assert careful.holds()
    assert not loose.holds(), "without apply the optimiser revives pruned weights"
    assert torch.equal(values(plain.model), values(careful.model))
    assert not same_values(plain.to_ticket(), ticket)
    assert plain.to_ticket().mask == ticket.mask


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw-fused"])
def test_masked_gradients_keep_the_optimisers_state_at_zero(name: str, ticket: Ticket) -> None:
    for mask_gradients in (True, False):
        masked = masked_model(ticket)
        optimiser = take_steps(masked, OPTIMISERS[name], mask_gradients=mask_gradients)
        pruned = [
            state[~mask]
            for tensor, mask in masked.masks.items()
            for key, state in optimiser.state[masked.model.get_parameter(tensor)].items()
            if key in ("momentum_buffer", "exp_avg", "exp_avg_sq")
        ]
        assert pruned
        assert any(bool(torch.any(state)) for state in pruned) != mask_gradients


def test_clipping_by_norm_needs_masked_gradients(ticket: Ticket) -> None:
    sgd = OPTIMISERS["sgd"]
    plain, careful = masked_model(ticket), masked_model(ticket)
    take_steps(plain, sgd, clip=0.01)
    take_steps(careful, sgd, clip=0.01, mask_gradients=True)
    assert plain.holds()
    assert careful.holds()
    assert not torch.allclose(values(plain.model), values(careful.model)), "pruned weights take part in the norm"


def test_an_optimiser_of_whole_tensors_needs_both(ticket: Ticket) -> None:
    def trained(*, mask_gradients: bool, keep: bool) -> Masked:
        masked = masked_model(ticket)
        matrices = [masked.model.get_parameter(name) for name in masked.masks]
        optimiser = torch.optim.Muon(matrices, lr=0.1)
        for number in range(3):
            optimiser.zero_grad()
            loss_of(masked.model, number).backward()
            if mask_gradients:
                masked.mask_gradients()
            optimiser.step()
            if keep:
                masked.apply()
        return masked

    assert not trained(mask_gradients=True, keep=False).holds(), "the update of a pruned weight is not its own"
    both, applied = trained(mask_gradients=True, keep=True), trained(mask_gradients=False, keep=True)
    assert both.holds()
    assert applied.holds()
    assert not torch.equal(values(both.model), values(applied.model)), "pruned gradients reach kept weights"


def test_a_gradient_scaler_may_skip_steps(ticket: Ticket) -> None:
    masked = masked_model(ticket)
    optimiser = OPTIMISERS["sgd"](masked.model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    moved = []
    for number in range(4):
        before = values(masked.model)
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(masked.model, number) * (float("inf") if number == 1 else 1)
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        masked.mask_gradients()
        nn.utils.clip_grad_norm_(masked.model.parameters(), 1.0)
        scaler.step(optimiser)
        scaler.update()
        masked.apply()
        moved.append(not torch.equal(values(masked.model), before))
        assert masked.holds()
    assert moved == [True, False, True, True]


def test_gradients_may_be_accumulated_or_missing(ticket: Ticket) -> None:
    masked, whole = masked_model(ticket), masked_model(ticket)
    masked.mask_gradients()  # there are none yet
    frozen = "fc_layers.0.weight"
    masked.model.get_parameter(frozen).requires_grad_(False)
    whole.model.get_parameter(frozen).requires_grad_(False)
    for number in range(3):
        loss_of(masked.model, number).backward()
        masked.mask_gradients()
    sum((loss_of(whole.model, number) for number in range(3)), torch.zeros(())).backward()
    whole.mask_gradients()
    for name, mask in masked.masks.items():
        gradient = masked.model.get_parameter(name).grad
        if name == frozen:
            assert gradient is None
        else:
            torch.testing.assert_close(gradient, whole.model.get_parameter(name).grad)
            assert not gradient[~mask].any()
            assert gradient[mask].any()


# --- whatever becomes of the model


def test_masks_follow_the_parameters(ticket: Ticket) -> None:
    masked = masked_model(ticket)
    for change in (
        lambda m: m.double(),
        lambda m: m.load_state_dict({k: torch.ones_like(v) for k, v in m.state_dict().items()}),
        lambda m: m.load_state_dict({k: torch.ones_like(v) for k, v in m.state_dict().items()}, assign=True),
        lambda m: m.half(),
        lambda m: m.fc_layers.__setitem__(1, nn.Linear(6, 6)),
    ):
        change(masked.model)
        masked.model.get_parameter("fc_layers.1.weight").data.add_(1)
        assert not masked.holds()
        with pytest.raises(MaskError, match=r"^pruned weights of fc_.* must be zero \(.* are not\): call apply\(\)"):
            masked.to_ticket()
        masked.apply()
        assert masked.holds()
        assert masked.to_ticket().mask == ticket.mask
    del masked.model.fc_layers
    with pytest.raises(MaskError, match=r"^a masked model must keep its parameters \(fc_layers\.0\.weight is gone\)$"):
        masked.apply()


def test_a_weight_that_is_no_number_does_not_hold(ticket: Ticket) -> None:
    masked = masked_model(ticket)
    masked.model.get_parameter("fc_layers.0.weight").data.fill_(float("nan"))
    masked.apply()
    assert not masked.holds()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda masked: pickle.loads(pickle.dumps(masked))])
def test_copies_are_whole_and_nothing_is_hooked_in(copied: Callable[[Masked], Masked], ticket: Ticket) -> None:
    masked = masked_model(ticket)
    other = copied(masked)
    take_steps(other, OPTIMISERS["sgd"])
    assert other.holds()
    assert same_values(masked.to_ticket(), ticket)
    assert list(masked.model.state_dict()) == list(ticket.tensors)
    for module in masked.model.modules():
        for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_state_dict_hooks"):
            assert not getattr(module, hooks)


def test_averages_of_masked_weights_are_masked(ticket: Ticket) -> None:
    masked = masked_model(ticket)
    averaged = AveragedModel(masked.model)
    for _ in range(3):
        take_steps(masked, OPTIMISERS["sgd"], count=1)
        averaged.update_parameters(masked.model)
    for name, mask in masked.masks.items():
        assert not averaged.module.get_parameter(name)[~mask].any()
    made = Masked(averaged, {f"module.{name}": mask for name, mask in masked.masks.items()}).to_ticket(ARCH)
    assert made.mask == ticket.mask
    assert not same_values(made, masked.to_ticket())


def _compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


def _compiled_within(model: nn.Module) -> nn.Module:
    model.fc = torch.compile(model.get_submodule("fc"), backend="eager")
    return model


# Torch hides this warning of its own from users, not from tests in which warnings are errors.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize("wrap", [_compiled, _compiled_within, lambda m: _compiled(_compiled_within(m))])
@pytest.mark.parametrize("first", ["wrap", "mask"])
def test_a_compiled_model(wrap: Callable[[nn.Module], nn.Module], first: str, ticket: Ticket) -> None:
    model = build_model(ticket.arch)
    if first == "wrap":
        model = wrap(model)
        masked = Masked.from_ticket(model, ticket)
    else:
        masked = Masked.from_ticket(model, ticket)
        model = wrap(model)
    optimiser = OPTIMISERS["sgd"](model.parameters())
    eager = masked_model(ticket)
    take_steps(eager, OPTIMISERS["sgd"], count=3)
    for number in range(3):
        optimiser.zero_grad()
        loss_of(model, number).backward()
        optimiser.step()
        masked.apply()
    assert masked.holds()
    assert masked.to_ticket().mask == ticket.mask
    torch.testing.assert_close(masked.model.state_dict().popitem()[1], eager.model.state_dict().popitem()[1])


_RANK = """
import sys, torch
from pathlib import Path
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from ticketkit import Masked, build_model, load_ticket, save_ticket

folder, rank = Path(sys.argv[1]), int(sys.argv[2])
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
ticket = load_ticket(folder / "ticket.st")
for first in ("mask", "wrap"):
    torch.manual_seed(rank)  # other images on each rank
    model = build_model(ticket.arch)
    if first == "mask":
        masked = Masked.from_ticket(model, ticket)
        model = DistributedDataParallel(model)
    else:
        model = DistributedDataParallel(model)
        masked = Masked.from_ticket(model, ticket)
    optimiser = torch.optim.AdamW(model.parameters(), 0.1)
    for _ in range(3):
        optimiser.zero_grad()
        cross_entropy(model(torch.randn(8, 12)), torch.randint(0, 4, (8,))).backward()
        masked.mask_gradients()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        masked.apply()
    save_ticket(masked.to_ticket(), folder / f"{first}-{rank}.st")
torch.distributed.destroy_process_group()
"""


def test_two_ranks_keep_one_masked_model(ticket: Ticket, tmp_path: Path) -> None:
    save_ticket(ticket, tmp_path / "ticket.st")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _RANK, tmp_path, str(rank)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
        )
        for rank in (0, 1)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    trained = [load_ticket(tmp_path / f"{first}-{rank}.st") for first in ("mask", "wrap") for rank in (0, 1)]
    assert all(same_values(other, trained[0]) for other in trained)
    assert trained[0].mask == ticket.mask
    assert not same_values(trained[0], ticket)


# --- what is refused


def test_what_does_not_fit_is_refused(ticket: Ticket) -> None:
    model, masks = load_model(ticket)
    with pytest.raises(MaskError, match=r"^a mask must be of one of the model's parameters \(got conv\.weight\)$"):
        Masked(model, {"conv.weight": torch.ones(1)})
    with pytest.raises(MaskError, match=r"mask of fc\.weight must have its shape \(4, 6\) \(got \(2, 2\)\)"):
        Masked(model, masks | {"fc.weight": torch.ones(2, 2)})
    with pytest.raises(MaskError, match=r"mask of fc\.weight must hold zeros and ones only"):
        Masked(model, masks | {"fc.weight": torch.full((4, 6), 0.5)})
    with pytest.raises(MaskError, match=r"must cover at least one tensor"):
        Masked(model, {})
    with pytest.raises(ArchError):
        Masked(model, masks).to_ticket("resnet9")
    with pytest.raises(MaskError, match="must have every tensor of mlp-12-6-6-6-4"):
        Masked(model, masks).to_ticket("mlp-12-6-6-6-4")
    with pytest.raises(MaskError, match="must have shape"):
        Masked(model, masks).to_ticket(replace(ticket.arch, num_classes=5))
    assert parse_arch(ARCH) == ticket.arch
