"""Mutations of bundles and mappings: pure functions from an input and a random generator to another input.

Bytes changed at random hardly ever get past a reader that compares hashes and canonical forms. So beside the blind
mutations (:mod:`blind`) there are edits of a bundle's parts (:mod:`edits`), after which some of what no longer fits is
repaired (:class:`parts.Repair`). An edit that is repaired reaches the checks behind the hashes; one that is not reaches
the hashes themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from blind import BLIND, splice
from edits import DOCUMENT_EDITS, TABLE_EDITS, TENSOR_EDITS
from parts import Parts, Repair, put_together, take_apart


def mutate(data: bytes, random: Random, other: bytes = b"") -> bytes:
    """Change a bundle, or anything else, by one mutation to a few.

    Args:
        data: The file; it need not be a bundle.
        random: Decides everything: the same state gives the same result.
        other: Another file, to splice with.
    """
    rounds = random.choice((1, 1, 1, 2, 4))
    parts = take_apart(data) if random.random() < 0.8 else None
    if parts is None:
        for _ in range(rounds):
            data = splice(data, other, random) if random.random() < 0.1 else random.choice(BLIND)(data, random)
        return data
    try:
        changed = _edited(parts, rounds, random)
    except (RecursionError, ValueError):  # what it held was nested too deep, or had too many digits, to be written
        changed = data
    return random.choice(BLIND)(changed, random) if random.random() < 0.05 else changed


def _edited(parts: Parts, rounds: int, random: Random) -> bytes:
    for _ in range(rounds):
        edits = random.choice((DOCUMENT_EDITS, DOCUMENT_EDITS, TENSOR_EDITS, TABLE_EDITS))
        if not isinstance(parts.document, dict) or not parts.document:
            edits = TABLE_EDITS
        random.choice(edits)(parts, random)
    return put_together(parts, random.choices(tuple(Repair), (15, 10, 20, 25, 30))[0])


_PIECES: Sequence[str] = (
    *("0", "1", "2", "3", "9999", "10000", "10001", "99999", "100000"),
    *("00", "01", "-1", "1e3", "٣", "²", "\ud800", "\0"),
    *(":", ";", ",", "|", "::", ";;", ",,", "||", "0:0", "1:1,3", "2:2,4", "0:0;1:1,3;2:2,4", "0:0;1:1|0:0", "1:1,2"),
    *(
        " ",
        "\n",
        "\t",
        "\x1c",
        "\x85",
        "\u3000",
        "\u2028",
        "\x1b[2J",
        "\U000e0001" * 99,
        "0:" + ",".join(map(str, range(300))),
    ),
)


def mutate_mapping(text: str, random: Random) -> str:
    """Change a mapping's text, or any other, by one mutation to a few."""
    for _ in range(random.choice((1, 1, 2, 3))):
        start = random.randint(0, len(text))
        end = min(start + random.choice((0, 0, 1, 2, 8)), len(text))
        match random.randrange(5):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:start] + text[start:end] * random.choice((2, 50)) + text[end:]
            case 2:
                entries = text.split(";")
                random.shuffle(entries)
                text = ";".join(entries)
            case _:
                text = text[:start] + random.choice(_PIECES) + text[end:]
    return text


def make_mapping(random: Random) -> str:
    """A mapping that holds together, often of a form that is not the usual one."""
    stages = []
    for _ in range(random.choice((1, 1, 2, 3, 3, 4))):
        units = random.choice((1, 2, 3, 5, 9, 40))
        targets: dict[int, list[int]] = {}
        for target in range(units):
            targets.setdefault(random.randrange(units) if target else 0, []).append(target)
        entries = [f"{source}:{','.join(map(str, copies))}" for source, copies in targets.items()]
        random.shuffle(entries)
        stages.append(random.choice((";", " ; ", ";\n")).join(entries))
    return "|".join(stages)
