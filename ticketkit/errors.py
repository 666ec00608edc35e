"""Every exception that ticketkit raises on purpose.

::

    TicketkitError
    ├── ArchError            (ValueError)  an architecture that is unknown, impossible or does not fit
    ├── MaskError            (ValueError)  a mask, or a tensor under it, that does not hold together
    ├── StretchError         (ValueError)  a mapping that does not turn the source into the target
    ├── DataError            (ValueError)  a data set that is missing, unknown or malformed
    ├── RecipeError          (ValueError)  a training recipe with an unknown or impossible field
    ├── StudyError           (ValueError)  a study with an unknown or impossible field, or a damaged folder of one
    ├── RunError                           a run folder that cannot be used, or a training that broke
    │   ├── BusyError                      a folder in which another run is at work (in ``lock.py``)
    │   └── TrainingError                  a loss that is not finite, or a layer of which nothing is left
    ├── ZooError             (ValueError)  a zoo's index that is malformed, or lacks what was asked for (in ``sharing``)
    ├── SignatureError       (ValueError)  a key that cannot be used, or a signature that does not hold
    └── BundleError          (ValueError)  a file that is not a sound ticket, or cannot be written
        ├── BundleVersionError             a ticket of a format version this reader does not know
        └── RemoteError                    a reference that is none, or a ticket that cannot be fetched (in ``sharing``)

A message is one line: what must hold, what came, and the file or tensor. It may quote files from strangers, so whatever
could steer a terminal is replaced, and what is too long loses its middle.
"""

from __future__ import annotations

LONGEST_MESSAGE = 1_000
"""The most characters of a message."""

_LAST = 400
"""How many of them its end gets, which names the file."""


class TicketkitError(Exception):
    """Base of every error that ticketkit raises on purpose.

    Args:
        message: What must hold, what came, and where. It becomes one printable line of at most
            :data:`LONGEST_MESSAGE` characters.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


def one_line(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """A text that may quote a file, as one printable line: white space is spaces, other control characters are �."""
    if len(text) > longest:
        last = min(_LAST, longest // 2)
        text = f"{text[: longest - last - 1]}…{text[-last:]}"
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


class ArchError(TicketkitError, ValueError):
    """An architecture that is unknown, impossible, or does not fit what it is used with."""


class MaskError(TicketkitError, ValueError):
    """A mask, or a tensor under a mask, that does not hold together."""


class StretchError(TicketkitError, ValueError):
    """A mapping that does not turn the source network into the target network."""


class DataError(TicketkitError, ValueError):
    """A data set that is missing, unknown or malformed."""


class RecipeError(TicketkitError, ValueError):
    """A training recipe with an unknown or impossible field."""


class StudyError(TicketkitError, ValueError):
    """A study with an unknown or impossible field, or a folder of one that is damaged."""


class RunError(TicketkitError):
    """A run folder that cannot be used, or a training that broke."""


class TrainingError(RunError):
    """A training that cannot be gone on with: its loss is not finite, or all weights of a layer are pruned."""


class SignatureError(TicketkitError, ValueError):
    """A key that cannot be used, or a signature that is missing, damaged, of another ticket, or by another key."""


class BundleError(TicketkitError, ValueError):
    """A file that is not a sound ticket, or a ticket that cannot be written."""


class BundleVersionError(BundleError):
    """A ticket of a format version that this reader does not know."""
