"""Verification: a ticket is trained beside its baselines, and the differences are judged against noise."""

from ticketkit.verify.arm import ARMS, Arm, Context, Start
from ticketkit.verify.run import DEFAULT_ARMS, RunReport, verify_ticket

__all__ = ["ARMS", "DEFAULT_ARMS", "Arm", "Context", "RunReport", "Start", "verify_ticket"]
