"""Verification: a ticket is trained beside its baselines, and the differences are judged against noise."""

from ticketkit.verify.arm import ARMS, Arm, Context, Start, Target
from ticketkit.verify.bench import Bench
from ticketkit.verify.run import DEFAULT_ARMS, RunReport, obstacles, verify_ticket
from ticketkit.verify.training import run_arm

__all__ = [
    "ARMS",
    "DEFAULT_ARMS",
    "Arm",
    "Bench",
    "Context",
    "RunReport",
    "Start",
    "Target",
    "obstacles",
    "run_arm",
    "verify_ticket",
]
