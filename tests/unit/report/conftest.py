"""Made-up results in the shape of real ones: a whole study for tables and pictures, without a training."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Callable, Sequence

import pytest

from ticketkit.arch import ArchSpec, parse_arch
from ticketkit.report.comparison import ArmResult, Cost, LayerDensity, Origin, Report, Run
from ticketkit.report.connection import Connection, Curve, Point
from ticketkit.stretch import plan_stretch

SKILL = {
    "ticket": (92.5, 3.0),
    "dense": (93.8, 0.0),
    "imp": (92.9, 2.6),
    "lrr": (93.1, 2.4),
    "random": (90.1, 9.0),
    "reinit": (89.5, 9.5),
    "random-weights": (89.0, 11.0),
    "random-copies": (90.8, 7.5),
    "magnitude": (90.6, 12.0),
    "snip": (90.9, 11.0),
    "grasp": (89.8, 30.0),
    "synflow": (90.4, 6.5),
    "erk": (90.2, 7.0),
    "extra-snip": (91.3, 9.0),
    "rigl": (93.0, 2.9),
    "set": (92.2, 4.5),
    "small-dense": (88.0, 5.0),
}
"""Accuracy at 80 % sparsity, in per cent, and the points that are lost from there to 98 %."""

ARMS = tuple(SKILL)
FROM_TICKET = {"ticket", "random", "reinit", "random-weights", "random-copies", "extra-snip"}
"""Arms that are made from the ticket, so that each source has its own."""

DENSE_FLOPS = 4.1e14


def _run(arm: str, source: str, sparsity: float, seed: int) -> Run:
    own = source if arm in FROM_TICKET else ""
    noise = random.Random(zlib.crc32(f"{arm} {own} {round(sparsity, 3) if arm != 'dense' else 0} {seed}".encode()))
    depth = math.log((1 - sparsity) / 0.2) / math.log(0.1) if sparsity > 0 else 0.0
    best, fall = SKILL[arm]
    skill = best - fall * max(depth, 0.0) ** 1.4 - (0.4 if "14" in own else 0.0)
    density = 1.0 if arm in {"dense"} else 1 - sparsity
    setup = {"imp": 3.1, "lrr": 3.3, "snip": 0.004, "grasp": 0.012, "synflow": 0.02}.get(arm, 0.0)
    times = 5 if arm in {"rigl", "set"} else 1
    return Run(
        seed=seed,
        accuracy=min(max(skill + noise.gauss(0, 0.25), 10.0), 100.0) / 100,
        untrained=0.1 + 0.02 * noise.random(),
        loss=0.05 + 0.1 * noise.random(),
        seconds=60 * times + noise.random(),
        cost=Cost(
            flops=times * DENSE_FLOPS * (0.02 + 0.98 * density),
            dense_flops=times * DENSE_FLOPS,
            setup_flops=setup * DENSE_FLOPS,
            setup_dense_flops=10 * setup * DENSE_FLOPS,
            images_per_second=8000.0 + noise.random(),
            peak_memory=700_000_000,
        ),
    )


def _layers(arch: ArchSpec, sparsity: float, seed: int) -> tuple[LayerDensity, ...]:
    noise = random.Random(seed)
    prunable = set(arch.prunable_names())
    entries = [entry for entry in arch.state() if entry.name in prunable]
    return tuple(
        LayerDensity(
            name=entry.name,
            stage=entry.layer.stage,
            unit=entry.layer.unit,
            size=entry.tensor.size,
            kept=max(
                1,
                round(
                    entry.tensor.size
                    * min(1.0, (1 - sparsity) * (2.5 - 2 * place / len(entries)) * noise.uniform(0.8, 1.2))
                ),
            ),
        )
        for place, entry in enumerate(entries)
    )


@pytest.fixture(scope="session")
def make_report() -> Callable[..., Report]:
    """Make a report of any target, source (None for a ticket that was not stretched), order, arms and seeds."""

    def make(
        sparsity: float = 0.9,
        source: str | None = "cifar-resnet20",
        target: str = "cifar-resnet32",
        order: str = "append",
        arms: Sequence[str] = ARMS,
        seeds: int = 3,
    ) -> Report:
        arch = parse_arch(target)
        total = sum(entry.tensor.size for entry in arch.state() if entry.name in set(arch.prunable_names()))
        kept = round((1 - sparsity) * total)
        origin = None
        if source is not None:
            spec = parse_arch(source)
            origin = Origin(
                architecture=source,
                order=order,
                mapping=str(plan_stretch(spec, arch, order=order)),
                parent="sha256:" + "ab" * 32,
                layers=_layers(spec, sparsity, 1),
            )
        return Report(
            ticket_id=f"sha256:{zlib.crc32(f'{source} {order} {sparsity}'.encode()):064x}",
            architecture=target,
            sparsity=1 - kept / total,
            start_step=14,
            setting={
                "dataset": {"name": "digits", "fingerprint": "sha256:" + "0d" * 32, "train": 898, "test": 899},
                "recipe": {"name": "quick", "epochs": 16, "batch": 64, "lr": 0.1, "milestones": []},
                "environment": {"torch": "2.13.0", "device": "cpu", "precision": "fp32", "threads": 1},
            },
            arms=tuple(
                ArmResult(
                    name=name,
                    summary=f"what {name} is",
                    kept=total if name == "dense" else kept,
                    total=total,
                    runs=tuple(_run(name, f"{source} {order}", sparsity, seed) for seed in range(seeds)),
                    architecture="cifar-resnet32-w4" if name == "small-dense" else None,
                )
                for name in arms
            ),
            reference="imp" if "imp" in arms else None,
            origin=origin,
            layers=_layers(arch, sparsity, 2),
            find_flops=2.2 * DENSE_FLOPS,
            command=f"ticketkit verify {source}-to-{target}.st --against {','.join(arms[1:])}",
        )

    return make


@pytest.fixture(scope="session")
def make_connection() -> Callable[..., Connection]:
    """Make a connection whose lines dip by ``barrier``, a fraction of the test set, in the middle."""

    def make(name: str = "imp", barrier: float = 0.0, points: int = 30, pairs: int = 1) -> Connection:
        def curve(seed: int) -> Curve:
            noise = random.Random(zlib.crc32(f"{name} {seed}".encode()))
            alphas = [place / (points - 1) for place in range(points)]
            dips = [4 * alpha * (1 - alpha) for alpha in alphas]
            return Curve(
                seed=seed,
                ends=(0.925, 0.921),
                points=tuple(
                    Point(
                        alpha=alpha,
                        accuracy=0.922 - barrier * dip + noise.uniform(-0.001, 0.001),
                        loss=0.3 + 3 * barrier * dip,
                        train_loss=0.02 + 3 * barrier * dip,
                    )
                    for alpha, dip in zip(alphas, dips, strict=True)
                ),
                distance=12.5,
                seconds=130.0,
            )

        return Connection(
            name=name,
            ticket_id="sha256:" + "cd" * 32,
            architecture="cifar-resnet32",
            sparsity=0.9,
            start_step=14,
            setting={
                "dataset": {"name": "digits", "fingerprint": "sha256:" + "0d" * 32},
                "recipe": {"name": "quick"},
                "environment": {"torch": "2.13.0", "device": "cpu"},
            },
            curves=tuple(curve(seed) for seed in range(pairs)),
            command=f"ticketkit connect {name}.st",
        )

    return make
