"""Making a ticket again from what it says of itself: what is to be done, and doing it."""

from ticketkit.reproduce.plan import Reproduction, plan_reproduction
from ticketkit.reproduce.run import Reproduced, reproduce_ticket

__all__ = ["Reproduced", "Reproduction", "plan_reproduction", "reproduce_ticket"]
