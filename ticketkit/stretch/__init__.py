"""Stretching and squeezing: a ticket of one depth into a ticket of another, without training."""

from ticketkit.stretch.adjust import Adjustments
from ticketkit.stretch.engine import StagePlan, check_mapping, explain_plan, stretch_ticket
from ticketkit.stretch.plan import EXPLICIT, orders_used, plan_stretch, resolve_target
from ticketkit.stretch.policy import POLICIES, Policy
from ticketkit.stretch.stage_map import StageMap, parse_stage_map

__all__ = [
    "EXPLICIT",
    "POLICIES",
    "Adjustments",
    "Policy",
    "StageMap",
    "StagePlan",
    "check_mapping",
    "explain_plan",
    "orders_used",
    "parse_stage_map",
    "plan_stretch",
    "resolve_target",
    "stretch_ticket",
]
