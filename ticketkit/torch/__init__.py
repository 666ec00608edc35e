"""Tickets in a training loop of your own: weights and masks into your model, and a ticket out of it.

Nothing is hooked into the model: it copies, pickles, compiles and is wrapped as any other, and its ``state_dict`` is
what it was.
"""

from ticketkit.torch.bridge import apply, ticket_from_model
from ticketkit.torch.masked import Masked

__all__ = ["Masked", "apply", "ticket_from_model"]
