"""Multi-layer perceptrons by their layers' widths: ``mlp-784-300-300-100-10`` takes 784 numbers and gives 10.

Hidden layers of one width, one behind the other, are a stage; the first of them, which changes the width, never moves.
The paper's MLP-n, 784–300 × n–100–10, has two: n layers of 300, and one of 100. Images are flattened, so
``in_channels`` is the number of input features: 784 for grey images of 28×28.

``depth`` counts the linear layers, ``width`` is that of the first hidden one, and ``variant`` holds the widths behind
the first run; so a depth alone (``--to 6``) makes the first run longer or shorter. More than four hidden layers of one
width are written ``300x12``. Names of the layers are those of open_lth's ``mnist_lenet``.
"""

from __future__ import annotations

import math
import re
from itertools import groupby

from ticketkit.arch.family import FAMILIES, Family, Named
from ticketkit.arch.spec import LIMITS, ArchSpec, LayerList, LayerSpec

Runs = tuple[tuple[int, int], ...]
"""Width and number of the layers of each run; neighbours differ in width."""

LONGEST_WRITTEN_OUT = 4

_RUN = "([0-9]{1,6})(?:x([1-9][0-9]{0,4}))?"
_NAME = re.compile(rf"-([0-9]{{1,7}})((?:-{_RUN})+)-([0-9]{{1,7}})")


def runs_of(spec: ArchSpec) -> Runs:
    """The runs of hidden layers."""
    tail = _read_runs(spec.variant)
    return ((spec.width, spec.depth - 1 - sum(count for _, count in tail)), *tail)


def layers(spec: ArchSpec) -> tuple[LayerSpec, ...]:
    """Layers in execution order; the first hidden layer is the input layer too."""
    net = LayerList()
    features, number = spec.in_channels, 0
    for stage, (width, count) in enumerate(runs_of(spec)):
        for unit in range(count):
            net.at("unit" if unit else "entry", stage, unit)
            net.linear(f"fc_layers.{number}", width, features)
            features = width
            number += 1
    net.at("head")
    net.linear("fc", spec.num_classes, features)
    return tuple(net.layers)


def read(text: str) -> Named | None:
    """Read the widths of input, hidden layers and output; all of them must be given."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    (width, count), *tail = _read_runs(match[2].removeprefix("-"))
    return Named(
        depth=1 + count + sum(more for _, more in tail),
        width=width,
        variant=_write_runs(tuple(tail)),
        in_channels=int(match[1]),
        num_classes=int(match[5]),
    )


def write(spec: ArchSpec) -> str:
    """Write what :func:`read` reads."""
    return f"-{spec.in_channels}-{_write_runs(runs_of(spec))}-{spec.num_classes}"


def has_variant(variant: str) -> bool:
    """Whether these are widths that may stand behind the first run, in their canonical form."""
    runs = _read_runs(variant)
    return _write_runs(runs) == variant and all(1 <= width <= LIMITS["width"] and count for width, count in runs)


def problem(spec: ArchSpec) -> str | None:
    """Say so if nothing is left of the first run, or it goes on in what stands behind it."""
    (width, count), *tail = runs_of(spec)
    if count < 1:
        return f"must have a layer of {width:,} before those of {spec.variant or 'the output'} (got depth {spec.depth})"
    if tail and tail[0][0] == width:
        return f"must not name its first run's width again behind it (got {width:,} and then {spec.variant})"
    return None


def _read_runs(text: str) -> Runs:
    """Read widths in any form, neighbours of one width joined; what is no width at all is left out."""
    found = [(int(width), int(count or 1)) for width, count in re.findall(_RUN, text)]
    return tuple((width, sum(count for _, count in same)) for width, same in groupby(found, key=lambda run: run[0]))


def _write_runs(runs: Runs) -> str:
    parts = [[f"{width}x{count}"] if count > LONGEST_WRITTEN_OUT else [f"{width}"] * count for width, count in runs]
    return "-".join(part for run in parts for part in run)


FAMILIES.register(
    "mlp",
    Family(
        name="mlp",
        short="mlp",
        default_width=300,
        prunes_head=False,
        variants=("", "W-W…"),
        examples=("mlp-784-300-300-100-10", "mlp-64-32x6-16-16-10"),
        has_depth=lambda depth: depth > 1,
        has_variant=has_variant,
        depths="the number of its linear layers, from 2",
        layers=layers,
        read=read,
        write=write,
        problem=problem,
        design=lambda spec: " then ".join(f"{width:,}" for width, _ in runs_of(spec)),
        image_channels=math.prod,
        channel="input feature",
    ),
)
