"""What every registered arm must keep: it starts from the whole network, keeps the ticket's count, and its word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from ticketkit.arch import FAMILIES, ArchSpec, parse_arch
from ticketkit.data import ImageData
from ticketkit.errors import MaskError, TicketkitError
from ticketkit.provenance import Weights
from ticketkit.prune import CRITERIA, Subject
from ticketkit.recipe import Recipe
from ticketkit.stretch import stretch_ticket
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute
from ticketkit.verify import ARMS, Bench, Context, Start, Target, obstacles, verify_ticket
from ticketkit.verify.lineage import stages_of

RECIPE = Recipe(name="tiny", epochs=2, batch=16, lr=0.001, nesterov=True, crop=1)
"""A rate so low that even a network two channels wide does not diverge."""

MASKED = [name for name in ARMS if name not in {"dense", "small-dense"}]
SMALL = [
    "resnet14-w2-pad",
    "imagenet-resnet26-w2",
    "vgg13-w2-fc2",
    "mobilenetv1-3-w2",
    "mlp-64-16-16-8-2",
    "vit3-w8-p2-i8",
]
"""A network of every family that takes stripes."""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def ticket(make_ticket: Callable[..., Ticket]) -> Ticket:
    source = make_ticket("resnet14-w2", in_channels=1, num_classes=2, weights=Weights(role="rewind", step=3))
    return stretch_ticket(source, "resnet20")


@pytest.fixture(scope="module")
def bench(ticket: Ticket, stripes: ImageData) -> Bench:
    return bench_for(ticket.arch, tuple(ticket.mask), stripes)


def bench_for(arch: ArchSpec, prunable: tuple[str, ...], data: ImageData, rewind_step: int = 3) -> Bench:
    return Bench(
        arch=arch,
        prunable=prunable,
        batches=Batches(data, RECIPE),
        compute=Compute(),
        seed=11,
        rewind_step=rewind_step,
        rate=0.6,
    )


def start_of(name: str, bench: Bench, target: Target, ticket: Ticket | None, seed: int = 5) -> Start:
    context = Context(
        target=target, ticket=ticket, batches=bench.batches, compute=bench.compute, seed=seed, bench=bench
    )
    return ARMS[name].start(context)


def same(left: Start, right: Start) -> bool:
    return (
        (left.mask, left.arch, left.recipe, left.first_step, left.rewiring, left.setup)
        == (right.mask, right.arch, right.recipe, right.first_step, right.rewiring, right.setup)
        and list(left.tensors) == list(right.tensors)
        and all(left.tensors[key].tobytes() == right.tensors[key].tobytes() for key in left.tensors)
    )


@pytest.mark.parametrize("name", ARMS)
def test_the_summary_is_one_short_line(name: str) -> None:
    summary = ARMS[name].summary
    assert summary.strip() == summary
    assert 0 < len(summary) <= 55
    assert summary.splitlines() == [summary]


@pytest.mark.parametrize("name", ARMS)
def test_every_tensor_of_the_network_is_there_in_order(name: str, bench: Bench, ticket: Ticket) -> None:
    start = start_of(name, bench, Target.of(ticket), ticket)
    arch = start.arch or ticket.arch
    assert [(key, array.shape) for key, array in start.tensors.items()] == [
        (entry.name, entry.tensor.shape) for entry in arch.state()
    ]
    assert all(np.isfinite(array).all() for array in start.tensors.values())


@pytest.mark.parametrize("name", ARMS)
def test_exactly_as_many_weights_are_kept_of_the_same_tensors(name: str, bench: Bench, ticket: Ticket) -> None:
    start = start_of(name, bench, Target.of(ticket), ticket)
    if name not in MASKED:
        assert start.mask is None
        return
    assert start.mask is not None
    assert list(start.mask) == list(ticket.mask)
    assert all(start.mask[key].shape == mask.shape for key, mask in ticket.mask.items())
    assert start.mask.kept == ticket.kept


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_follows_from_its_seed(name: str, bench: Bench, ticket: Ticket) -> None:
    first, again = (start_of(name, bench, Target.of(ticket), ticket, seed=5) for _ in range(2))
    assert same(first, again)


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_depends_on_what_it_says(name: str, bench: Bench, ticket: Ticket) -> None:
    target = Target.of(ticket)
    if ARMS[name].depends_on == "ticket":
        with pytest.raises(TicketkitError, match=r"must be given one \(got none\)"):
            start_of(name, bench, target, None)
        return
    given = start_of(name, bench, target, ticket)
    assert same(given, start_of(name, bench, target, None)), "it looks at no ticket"
    fewer = start_of(name, bench, replace(target, kept=target.kept // 2), None)
    if ARMS[name].depends_on == "network":
        assert same(given, fewer), "it looks at no count"
    elif fewer.mask is not None:
        assert fewer.mask.kept == target.kept // 2
    else:
        assert fewer.arch != given.arch


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_says_which_imp_run_it_needs_and_whether_it_takes_longer(
    name: str, ticket: Ticket, stripes: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_for(ticket.arch, tuple(ticket.mask), stripes)
    asked: list[str] = []
    pruned_to = Bench.pruned_to

    def spy(self: Bench, kept: int, rewinding: str = "weights") -> object:
        asked.append(rewinding)
        return pruned_to(self, kept, rewinding)

    monkeypatch.setattr(Bench, "pruned_to", spy)
    start = start_of(name, bench, Target.of(ticket), ticket)
    assert asked == ([] if ARMS[name].finds is None else [ARMS[name].finds])
    epochs = RECIPE.epochs if start.recipe is None else start.recipe.epochs
    assert epochs == RECIPE.epochs * (5 if ARMS[name].lengthened else 1)


@pytest.mark.parametrize("name", [name for name in ARMS if ARMS[name].depends_on != "ticket"])
@pytest.mark.parametrize("small", SMALL)
def test_an_arm_goes_with_every_family_or_says_why_not(name: str, small: str, stripes: ImageData) -> None:
    size = 64 if small.startswith("mlp") else 1
    arch = parse_arch(small, in_channels=size, num_classes=2)
    prunable = arch.prunable_names()
    whole = Target(arch=arch, prunable=prunable, kept=1)
    target = replace(whole, kept=whole.total // 2)
    if ARMS[name].obstacle(target, None) is not None:
        assert (name, arch.family) == ("synflow", "vit")
        return
    start = start_of(name, bench_for(arch, prunable, stripes, rewind_step=1), target, None)
    assert start.mask is None or start.mask.kept == target.kept


def test_the_small_networks_are_of_every_family() -> None:
    assert {parse_arch(name).family for name in SMALL} == set(FAMILIES)


@pytest.mark.parametrize("name", [name for family in FAMILIES.values() for name in family.examples])
def test_synflows_obstacle_is_its_criterions(name: str) -> None:
    arch = parse_arch(name)
    target = Target(arch=arch, prunable=arch.prunable_names(), kept=1)
    subject = Subject(arch=arch, tensors={}, mask=target.full_mask(), batches=lambda: ())
    with pytest.raises(MaskError, match="synflow must be given") as refused:
        CRITERIA["synflow"](subject, 1)
    of_network = "must be given a network" in str(refused.value)
    assert (ARMS["synflow"].obstacle(target, None) is not None) == of_network


@pytest.mark.parametrize(
    ("arch_name", "kept", "against"),
    [
        ("resnet14-w2", 900, {"random-copies", "extra-snip"}),
        ("vit2-w8-p2-i8", 200, {"random-copies", "extra-snip", "synflow"}),
        ("resnet8-w1-pad", 2, {"random-copies", "extra-snip", "small-dense"}),
    ],
)
def test_obstacles_are_one_line_and_stop_a_verification_before_it_trains(
    make_ticket: Callable[..., Ticket], stripes: ImageData, arch_name: str, kept: int, against: set[str]
) -> None:
    arch = parse_arch(arch_name, in_channels=1, num_classes=2)
    total = Target(arch=arch, prunable=arch.prunable_names(), kept=1).total
    plain = make_ticket(arch_name, density=kept / total, in_channels=1, num_classes=2)
    found = obstacles(plain)
    assert set(found) == against
    for name, obstacle in found.items():
        assert obstacle == ARMS[name].obstacle(Target.of(plain), stages_of(plain))
        assert obstacle.splitlines() == [obstacle]
        trained: list[object] = []
        with pytest.raises(TicketkitError) as refused:
            verify_ticket(plain, stripes, RECIPE, arms=[name], start="0", device=Compute(), on_run=trained.append)
        assert str(refused.value) == f"for the arm {name!r} there must be {obstacle}"
        assert not trained


def test_a_stretched_ticket_has_no_obstacle_and_a_squeezed_one_has(ticket: Ticket) -> None:
    assert obstacles(ticket) == {}
    assert set(obstacles(stretch_ticket(ticket, "resnet14"))) == {"random-copies", "extra-snip"}
