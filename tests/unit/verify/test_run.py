from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ticketkit.arch import parse_arch
from ticketkit.data import ImageData
from ticketkit.errors import ArchError, MaskError, RecipeError, RunError, TicketkitError
from ticketkit.find import find_ticket
from ticketkit.provenance import Flops, Weights
from ticketkit.recipe import Recipe
from ticketkit.report.comparison import Cost, Report, Run
from ticketkit.seeds import derive_seed
from ticketkit.ticket import Ticket
from ticketkit.train import Batches, Compute, train
from ticketkit.train.flops import forward_flops, training_flops
from ticketkit.train.rewiring import Rewiring
from ticketkit.verify import ARMS, Bench, RunReport, Target, run_arm, verify_ticket
from ticketkit.verify.run import layer_densities, origin_of
from ticketkit.verify.training import context_of, network_seed

CPU = Compute()


def run_of(report: Report, arm: str, place: int = 0) -> Run:
    return report.arm(arm).runs[place]


def cost_of(report: Report, arm: str) -> Cost:
    cost = run_of(report, arm).cost
    assert cost is not None
    return cost


def what_it_gave(run: Run) -> tuple[object, ...]:
    """All of a run that does not depend on the clock or the machine's memory."""
    assert run.cost is not None
    fixed = replace(run.cost, images_per_second=0.0, peak_memory=None)
    return run.seed, run.accuracy, run.untrained, run.loss, run.top5, fixed


# --- what is trained


def test_trainings_at_once_give_what_they_give_alone(
    stretched: Ticket, stripes: ImageData, recipe: Recipe, tmp_path: Path
) -> None:
    """Arms that share rewind weights and IMP levels among them, and one that rewires."""
    reports = [
        verify_ticket(
            stretched,
            stripes,
            recipe,
            arms=("dense", "imp", "lrr", "rigl", "snip", "random"),
            seeds=(7, 8),
            runs=tmp_path / str(parallel),
            device=CPU,
            parallel=parallel,
        )
        for parallel in (1, 3)
    ]
    alone, beside = reports
    assert [arm.name for arm in alone.arms] == [arm.name for arm in beside.arms]
    for arm in alone.arms:
        assert list(map(what_it_gave, arm.runs)) == list(map(what_it_gave, beside.arm(arm.name).runs))
    assert alone.setting["environment"] | {"parallel": 3} == beside.setting["environment"]
    assert all(run.cost is not None and run.cost.peak_memory is None for arm in beside.arms for run in arm.runs)


def test_an_error_of_one_of_several_at_once_is_told(ticket: Ticket, stripes: ImageData, recipe: Recipe) -> None:
    diverging = replace(recipe, lr=9e5)
    with pytest.raises(RunError, match="must stay finite"):
        verify_ticket(ticket, stripes, diverging, seeds=(0, 1), device=CPU, parallel=2)


# --- kept trainings


class Killed(Exception):  # noqa: N818 - not an error of ours
    pass


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_killed_verification_goes_on_to_the_same_report(
    stretched: Ticket, stripes: ImageData, recipe: Recipe, tmp_path: Path, parallel: int
) -> None:
    options = {
        "arms": ("dense", "imp", "set"),
        "seeds": (7, 8),
        "device": CPU,
        "parallel": parallel,
        "dst_multiplier": 1,
    }
    whole = verify_ticket(stretched, stripes, recipe, **options)
    done: list[RunReport] = []

    def kill(report: RunReport) -> None:
        done.append(report)
        if len(done) == 3:
            raise Killed

    with pytest.raises(Killed):
        verify_ticket(stretched, stripes, recipe, runs=tmp_path, on_run=kill, **options)
    again: list[RunReport] = []
    report = verify_ticket(stretched, stripes, recipe, runs=tmp_path, resume=True, on_run=again.append, **options)
    resumed = {(item.arm, item.run.seed): item.run for item in again if item.resumed}
    assert {(item.arm, item.run.seed): item.run for item in done}.items() <= resumed.items(), "times and all"
    assert len(resumed) < len(again) == 8
    for arm in whole.arms:
        assert list(map(what_it_gave, arm.runs)) == list(map(what_it_gave, report.arm(arm.name).runs))
        assert (arm.kept, arm.architecture) == (report.arm(arm.name).kept, report.arm(arm.name).architecture)
    assert not list(tmp_path.rglob("*.tmp"))
    last = verify_ticket(stretched, stripes, recipe, runs=tmp_path, resume=True, **options)
    assert last == report, "of a finished one nothing is trained"


def test_without_resume_nothing_old_is_taken(
    ticket: Ticket, stripes: ImageData, recipe: Recipe, tmp_path: Path
) -> None:
    options = {"arms": ("dense",), "seeds": (0,), "device": CPU, "runs": tmp_path}
    verify_ticket(ticket, stripes, recipe, **options)
    kept = {path: path.read_bytes() for path in tmp_path.glob("verify/*.json")}
    assert len(kept) == 2
    for path in kept:
        path.write_text("damaged", encoding="utf-8")
    seen: list[RunReport] = []
    verify_ticket(ticket, stripes, recipe, on_run=seen.append, **options)
    assert not any(item.resumed for item in seen)
    assert all(path.read_text(encoding="utf-8").startswith("{") for path in kept), "but what is finished is kept"


def test_a_training_is_only_taken_for_the_same(
    ticket: Ticket, make_ticket: Callable[..., Ticket], stripes: ImageData, recipe: Recipe, tmp_path: Path
) -> None:
    options = {"arms": ("dense",), "seeds": (0,), "device": CPU, "runs": tmp_path}
    verify_ticket(ticket, stripes, recipe, **options)
    changes: list[dict[str, object]] = [
        {"recipe": replace(recipe, lr=0.01)},
        {"data": replace(stripes, train_images=255 - stripes.train_images)},
        {"ticket": another(make_ticket)},
        {"start": "0"},
        {"seeds": (1,)},
        {"device": Compute(threads=2)},
        {"arms": (), "rivals": {"dense": ticket}},  # a file that is named like an arm
    ]
    for change in changes:
        seen: list[RunReport] = []
        arguments = {"ticket": ticket, "data": stripes, "recipe": recipe} | options | change
        verify_ticket(**arguments, resume=True, on_run=seen.append)
        taken = {item.arm for item in seen if item.resumed}
        assert taken == ({"ticket"} if "rivals" in change else set()), change
    seen = []
    verify_ticket(
        ticket,
        stripes,
        recipe,
        margin=0.1,
        rate=0.3,
        dst_multiplier=2,
        parallel=2,
        resume=True,
        on_run=seen.append,
        **options,
    )
    assert all(item.resumed for item in seen), "what no training depends on"


@pytest.mark.parametrize(("change", "trained"), [({"rate": 0.6}, {"imp"}), ({"dst_multiplier": 1}, {"rigl"})])
def test_an_option_of_one_kind_of_arm_leaves_the_others_kept(
    ticket: Ticket, stripes: ImageData, recipe: Recipe, tmp_path: Path, change: dict[str, object], trained: set[str]
) -> None:
    options = {"arms": ("imp", "rigl"), "seeds": (0,), "device": CPU, "runs": tmp_path, "rate": 0.5}
    options |= {"dst_multiplier": 2}
    verify_ticket(ticket, stripes, recipe, **options)
    seen: list[RunReport] = []
    verify_ticket(ticket, stripes, recipe, resume=True, on_run=seen.append, **(options | change))
    assert {item.arm for item in seen if not item.resumed} == trained


def another(make_ticket: Callable[..., Ticket]) -> Ticket:
    return make_ticket(
        "resnet8-w2", density=0.4, in_channels=1, num_classes=2, weights=Weights(role="rewind", step=3), seed=9
    )


def test_there_must_be_something_to_resume_from(ticket: Ticket, stripes: ImageData, recipe: Recipe) -> None:
    with pytest.raises(TicketkitError, match=r"must have a folder of runs \(got none\)"):
        verify_ticket(ticket, stripes, recipe, device=CPU, resume=True)


def test_arms_are_trained_alike(ticket: Ticket, stripes: ImageData, recipe: Recipe) -> None:
    seen: list[RunReport] = []
    report = verify_ticket(ticket, stripes, recipe, seeds=(7, 8), device=CPU, on_run=seen.append)
    assert [(item.run.seed, item.arm) for item in seen] == [
        (seed, arm) for seed in (7, 8) for arm in ("ticket", "dense", "random", "reinit")
    ]
    assert report.start_step == 3
    by_hand = train(
        ticket.arch,
        ticket.tensors,
        ticket.mask,
        Batches(stripes, recipe),
        seed=derive_seed(8, "verify"),
        compute=CPU,
        first_step=3,
    )
    assert run_of(report, "ticket", 1).accuracy == by_hand.accuracy
    assert run_of(report, "ticket", 1).loss == by_hand.loss
    assert report.arm("ticket").kept == ticket.kept
    assert report.arm("dense").kept == report.arm("dense").total == ticket.total


def test_an_arm_does_not_depend_on_which_others_there_are(
    ticket: Ticket, stripes: ImageData, recipe: Recipe, tmp_path: Path
) -> None:
    names = ["dense", "random", "snip", "imp", "lrr", "rigl", "small-dense"]
    options = {"device": CPU, "rate": 0.5, "dst_multiplier": 2}
    together = verify_ticket(ticket, stripes, recipe, arms=names, seeds=(0, 1), **options)
    for name in names:
        alone = verify_ticket(ticket, stripes, recipe, arms=[name], seeds=(1,), runs=tmp_path / "runs", **options)
        assert what_it_gave(run_of(alone, name)) == what_it_gave(run_of(together, name, 1)), name
    backwards = verify_ticket(ticket, stripes, recipe, arms=names[::-1], seeds=(1,), runs=tmp_path / "runs", **options)
    for name in names:
        assert what_it_gave(run_of(backwards, name)) == what_it_gave(run_of(together, name, 1)), name


def test_start_0_trains_the_whole_schedule(ticket: Ticket, stripes: ImageData, recipe: Recipe) -> None:
    report = verify_ticket(ticket, stripes, recipe, arms=[], seeds=(0,), start="0", device=CPU)
    assert report.start_step == 0
    assert cost_of(report, "ticket").dense_flops == 3 * 8 * 16 * forward_flops(ticket.arch, (1, 8, 8))


def test_another_ticket_is_an_arm(
    ticket: Ticket, stripes: ImageData, recipe: Recipe, make_ticket: Callable[..., Ticket]
) -> None:
    rival = make_ticket("resnet14-w2", density=0.4, in_channels=1, num_classes=2)
    report = verify_ticket(ticket, stripes, recipe, arms=[], rivals={"imp": rival}, seeds=(0,), device=CPU)
    assert [arm.name for arm in report.arms] == ["ticket", "imp"]
    assert report.arm("imp").total == rival.total
    assert cost_of(report, "imp").flops == training_flops(rival.arch, (1, 8, 8), rival.mask, 5 * 16).sparse


def test_progress_names_the_arm_or_what_is_shared(ticket: Ticket, stripes: ImageData, recipe: Recipe) -> None:
    told: list[tuple[str, int]] = []
    verify_ticket(
        ticket,
        stripes,
        recipe,
        arms=["imp", "dense"],
        seeds=(4,),
        rate=0.7,
        device=CPU,
        on_epoch=lambda arm, seed, _: told.append((arm, seed)),
    )
    assert {seed for _, seed in told} == {4}
    assert list(dict.fromkeys(arm for arm, _ in told)) == [
        "ticket",
        "imp level 0",
        "imp",
        "to the rewind step",
        "dense",
    ]


def test_a_ticket_in_half_precision_is_trained_in_the_networks_own(
    stripes: ImageData, recipe: Recipe, make_ticket: Callable[..., Ticket]
) -> None:
    half = make_ticket("resnet8-w2", in_channels=1, num_classes=2, dtype="float16")
    report = verify_ticket(half, stripes, recipe, arms=["random"], seeds=(0,), start="0", device=CPU)
    assert [arm.name for arm in report.arms] == ["ticket", "random"]


def test_a_ticket_of_final_weights_goes_with_the_recipes_rewind_step(
    stripes: ImageData, recipe: Recipe, make_ticket: Callable[..., Ticket]
) -> None:
    final = make_ticket("resnet8-w2", in_channels=1, num_classes=2, weights=Weights(role="final", step=8))
    two = replace(recipe, rewind="2it")
    report = verify_ticket(final, stripes, two, arms=["dense"], seeds=(0,), start="0", device=CPU)
    assert report.start_step == 0
    assert cost_of(report, "dense").setup_flops == 3 * 2 * 16 * forward_flops(final.arch, (1, 8, 8))


def test_a_shared_arm_needs_no_ticket(ticket: Ticket, stripes: ImageData, recipe: Recipe) -> None:
    bench = Bench(
        arch=ticket.arch,
        prunable=tuple(ticket.mask),
        batches=Batches(stripes, recipe),
        compute=CPU,
        seed=network_seed(3),
        rewind_step=3,
    )
    outcome = run_arm("snip", ARMS["snip"], target=Target.of(ticket), ticket=None, bench=bench, seed=3, first_step=3)
    report = verify_ticket(ticket, stripes, recipe, arms=["snip"], seeds=(3,), device=CPU)
    assert what_it_gave(outcome.run) == what_it_gave(run_of(report, "snip"))
    assert (outcome.kept, outcome.architecture) == (ticket.kept, ticket.arch.name)


# --- what it costs


def test_a_training_costs_its_steps_under_its_mask(ticket: Ticket, stripes: ImageData, recipe: Recipe) -> None:
    report = verify_ticket(ticket, stripes, recipe, arms=["dense", "reinit"], seeds=(0,), device=CPU)
    by_hand = training_flops(ticket.arch, (1, 8, 8), ticket.mask, 5 * 16)
    for arm in ("ticket", "reinit"):
        cost = cost_of(report, arm)
        assert (cost.flops, cost.dense_flops) == (by_hand.sparse, by_hand.dense)
        assert cost.setup_flops == cost.setup_dense_flops == 0
        assert cost.images_per_second > 0
    dense = cost_of(report, "dense")
    assert dense.flops == dense.dense_flops == by_hand.dense > cost_of(report, "ticket").flops
    assert dense.setup_flops == dense.setup_dense_flops == training_flops(ticket.arch, (1, 8, 8), None, 3 * 16).dense


def test_imp_costs_all_its_levels_beforehand(ticket: Ticket, stripes: ImageData, recipe: Recipe) -> None:
    report = verify_ticket(ticket, stripes, recipe, arms=["imp", "lrr"], seeds=(2,), rate=0.3, device=CPU)
    for arm, rewinding in (("imp", "weights"), ("lrr", "rate")):
        found = find_ticket(
            ticket.arch,
            stripes,
            replace(recipe, rewind="3it"),
            seed=network_seed(2),
            levels=2,  # 100, 70, 49 % are kept, and the last step takes them to the ticket's 40 %
            rate=0.3,
            device=CPU,
            rewinding=rewinding,
        )
        assert found.provenance.flops == Flops(
            sparse=cost_of(report, arm).setup_flops, dense=cost_of(report, arm).setup_dense_flops
        )
        assert report.arm(arm).kept == ticket.kept


def test_dynamic_training_costs_its_length_and_rigl_its_exchanges(ticket: Ticket, stripes: ImageData) -> None:
    recipe = Recipe(name="long", epochs=1, batch=2, lr=0.001)
    step = replace(ticket, weights=Weights(role="init", step=0))
    report = verify_ticket(step, stripes, recipe, arms=["erk", "rigl", "set"], seeds=(0,), device=CPU)
    # 32 steps, five times, of which step 100 exchanges; the layers' counts are ERK's all along.
    assert Rewiring(grow="gradient").count(160) == 1
    once, rigl, other = (cost_of(report, arm) for arm in ("erk", "rigl", "set"))
    assert other.flops == pytest.approx(5 * once.flops)
    assert other.dense_flops == rigl.dense_flops == 5 * once.dense_flops
    gradient_of_all = (once.dense_flops - once.flops) / 3 / 32  # a third of a step's passes
    assert rigl.flops == pytest.approx(other.flops + gradient_of_all)
    assert rigl.flops > other.flops


def test_the_small_dense_network_is_reported_as_what_it_is(ticket: Ticket, stripes: ImageData, recipe: Recipe) -> None:
    report = verify_ticket(ticket, stripes, recipe, arms=["small-dense", "dense"], seeds=(0,), device=CPU)
    arm = report.arm("small-dense")
    assert arm.architecture == "cifar-resnet8-w1"
    small = parse_arch("resnet8-w1", in_channels=1, num_classes=2)
    assert arm.kept == small.parameters <= ticket.arch.parameters - ticket.total + ticket.kept
    assert arm.total == ticket.total
    cost = cost_of(report, "small-dense")
    assert cost.flops == cost.dense_flops == 3 * 8 * 16 * forward_flops(small, (1, 8, 8)), "the whole schedule"
    assert report.arm("dense").architecture is None


# --- what the report says


def test_the_reference_is_an_arm_that_was_trained_or_none(ticket: Ticket, stripes: ImageData, recipe: Recipe) -> None:
    def verified(**options: object) -> Report:
        return verify_ticket(ticket, stripes, recipe, seeds=(0,), rate=0.7, device=CPU, **options)

    assert verified(arms=["dense"]).reference is None
    assert verified(arms=["dense"], reference="ticket").reference is None
    assert verified(arms=["dense"], reference="dense").reference == "dense"
    found = verified(arms=["imp"], margin=0.02)
    assert (found.reference, found.margin) == ("imp", 0.02)
    assert verified(arms=[], rivals={"imp": ticket}).reference == "imp"


def test_finding_costs_what_the_ticket_says(ticket: Ticket, stripes: ImageData, recipe: Recipe) -> None:
    assert verify_ticket(ticket, stripes, recipe, arms=[], seeds=(0,), device=CPU).find_flops is None
    told = replace(ticket, provenance=replace(ticket.provenance, flops=Flops(sparse=3.0, dense=9.0)))
    assert verify_ticket(told, stripes, recipe, arms=[], seeds=(0,), device=CPU).find_flops == 3.0


def test_it_says_where_the_ticket_came_from(
    ticket: Ticket, stretched: Ticket, stripes: ImageData, recipe: Recipe
) -> None:
    assert origin_of(ticket) is None
    report = verify_ticket(stretched, stripes, recipe, arms=[], seeds=(0,), device=CPU)
    assert report.origin is not None
    assert (report.origin.architecture, report.origin.order) == ("cifar-resnet14-w2", "append")
    assert report.origin.parent == stretched.provenance.parent
    assert report.origin.mapping == stretched.provenance.transformations[-1].mapping
    assert report.origin.layers == ()
    named = origin_of(stretched, ticket, "mine")
    assert named is not None
    assert (named.order, named.layers) == ("mine", layer_densities(ticket))


def test_layers_are_the_prunable_tensors_in_order(stretched: Ticket) -> None:
    layers = layer_densities(stretched)
    assert [layer.name for layer in layers] == list(stretched.mask)
    assert sum(layer.kept for layer in layers) == stretched.kept
    assert sum(layer.size for layer in layers) == stretched.total
    assert {(layer.stage, layer.unit) for layer in layers} == {
        (None, None),
        *((stage, unit) for stage in range(3) for unit in range(3)),
    }


@pytest.mark.parametrize(("classes", "tells"), [(19, False), (20, True)])
def test_top5_is_told_from_20_classes_up(
    make_noise: Callable[..., ImageData], make_ticket: Callable[..., Ticket], classes: int, tells: bool
) -> None:
    many = make_ticket("resnet8-w2", in_channels=1, num_classes=classes, weights=Weights(role="rewind", step=1))
    recipe = Recipe(name="tiny", epochs=1, batch=10, lr=0.01)
    report = verify_ticket(many, make_noise(classes), recipe, arms=["dense"], seeds=(0,), device=CPU)
    for arm in report.arms:
        top5 = arm.runs[0].top5
        assert (top5 is not None) == tells
        assert top5 is None or arm.runs[0].accuracy <= top5 <= 1


# --- what is refused


def test_what_does_not_fit_is_refused(
    ticket: Ticket, stripes: ImageData, recipe: Recipe, make_ticket: Callable[..., Ticket]
) -> None:
    names = ", ".join(sorted(ARMS))
    with pytest.raises(TicketkitError, match=rf"arm must be one of {names} \(got 'denes'\); did you"):
        verify_ticket(ticket, stripes, recipe, arms=["denes"])
    for arms in (["dense", "dense"], ["ticket"]):
        with pytest.raises(TicketkitError, match=rf"named once \(got '{arms[-1]}' again\)"):
            verify_ticket(ticket, stripes, recipe, arms=arms)
    with pytest.raises(TicketkitError, match=r"named once \(got 'dense' again\)"):
        verify_ticket(ticket, stripes, recipe, arms=["dense"], rivals={"dense": ticket})
    for seeds in ((), (1, 1)):
        with pytest.raises(TicketkitError, match="seeds must be one or more different numbers"):
            verify_ticket(ticket, stripes, recipe, seeds=seeds)
    with pytest.raises(ArchError, match="in_channels"):
        verify_ticket(make_ticket("resnet8-w2", num_classes=2), stripes, recipe)
    with pytest.raises(ArchError, match="in_channels"):
        verify_ticket(ticket, stripes, recipe, rivals={"other": make_ticket("resnet8-w2", num_classes=2)})
    short = Recipe(name="short", epochs=1, batch=64, lr=0.1)
    with pytest.raises(RecipeError, match=r"rewind step must lie before the end of training, 1 steps \(got 3\)"):
        verify_ticket(ticket, stripes, short)
    final = make_ticket("resnet8-w2", in_channels=1, num_classes=2, weights=Weights(role="final", step=9))
    with pytest.raises(RecipeError, match="start 0"):
        verify_ticket(final, stripes, recipe)


def test_settings_out_of_their_range_are_refused_before_anything_is_trained(
    ticket: Ticket, stripes: ImageData, recipe: Recipe
) -> None:
    seen: list[RunReport] = []
    options = {"seeds": (0,), "device": CPU, "on_run": seen.append}
    with pytest.raises(MaskError, match=r"the rate must be above 0 and below 1 \(got -0\.2\)"):
        verify_ticket(ticket, stripes, recipe, arms=["imp"], rate=-0.2, **options)
    with pytest.raises(TicketkitError, match=r"must take 1 or more times as long \(got 0\)"):
        verify_ticket(ticket, stripes, recipe, arms=["rigl"], dst_multiplier=0, **options)
    assert not seen


def test_every_arm_and_every_run_has_a_seed_of_its_own(ticket: Ticket, make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(ticket)
    seeds = {
        context_of(name, target=Target.of(ticket), ticket=ticket, bench=bench, seed=seed).seed
        for name in ARMS
        for seed in range(3)
    }
    assert len(seeds) == 3 * len(ARMS)


def test_seeds_of_networks_differ_and_fit_a_tickets_document() -> None:
    seeds = [network_seed(seed) for seed in range(200)]
    assert len(set(seeds)) == 200
    assert all(0 <= seed < 2**53 for seed in seeds)
    assert network_seed(0) != derive_seed(0, "verify")
