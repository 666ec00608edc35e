"""SynFlow: synaptic flow, conserved layer by layer (Tanaka et al., 2020)."""

from __future__ import annotations

from dataclasses import replace

from ticketkit.prune.synflow import ROUNDS
from ticketkit.train.flops import training_flops
from ticketkit.verify.arm import ARMS, Arm, Context, Start, Target
from ticketkit.verify.lineage import Stages
from ticketkit.verify.scoring import pruned_at_rewind

UNSUITED = ("layer_norm", "attention")


def start(context: Context) -> Start:
    """Prune in a hundred rounds, without data: each a forward and a backward pass of one image of ones."""
    begin = pruned_at_rewind(context, "synflow", passes=0)
    rounds = training_flops(context.target.arch, context.batches.data.shape, None, ROUNDS)
    return replace(begin, setup=begin.setup + rounds)


def obstacle(target: Target, _stages: Stages | None) -> str | None:
    """Synaptic flow is a product of weights, which neither layer normalisation nor attention leaves one."""
    found = sorted({layer.kind for layer in target.arch.layers()} & set(UNSUITED))
    return f"no {found[0]} in the network ({target.arch.name} has it)" if found else None


ARMS.register(
    "synflow",
    Arm(summary="SynFlow at the rewind step", start=start, depends_on="count", obstacle=obstacle),
)
