"""Blind mutations: of any bytes, whatever they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from parts import LENGTH

TOKENS: Sequence[bytes] = (
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b" ",
        b"\n",
        b"\t",
        b"\0",
        b"\xff",
        b"\x80",
    ),
    *(b"null", b"true", b"NaN", b"Infinity", b"1e400", b"-0", b"1.0", b"1E2", b"9" * 30, b"9" * 5000, b"-1", b"00"),
    *(b"[" * 2000, b'{"a":' * 2000, b'"layers"', b'"__metadata__"', b'"ticketkit"', b'"id"', b"\xef\xbb\xbf"),
    *(LENGTH.pack(0), LENGTH.pack(2**63), LENGTH.pack(2**64 - 1), b"\x80\x04\x95", b"PK\x03\x04", b"\x00\x00\xc0\x7f"),
)


def flip_bits(data: bytes, random: Random) -> bytes:
    """Flip one bit to eight bits."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 8)) if data else 0):
        changed[_place(data, random)] ^= 1 << random.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, random: Random) -> bytes:
    """Write a token, or random bytes, over what is there."""
    token = _token(random)
    at = _place(data, random)
    return data[:at] + token + data[at + len(token) :]


def cut(data: bytes, random: Random) -> bytes:
    """Take a range out, often everything to the end."""
    start, end = _range(data, random)
    return data[:start] + (b"" if random.random() < 0.4 else data[end:])


def insert(data: bytes, random: Random) -> bytes:
    """Insert a token, or random bytes, anywhere or at the end."""
    at = len(data) if random.random() < 0.2 else _place(data, random)
    return data[:at] + _token(random) + data[at:]


def repeat_range(data: bytes, random: Random) -> bytes:
    """Write a range twice, or more often."""
    start, end = _range(data, random)
    return data[:start] + data[start:end] * random.choice((2, 2, 3, 9)) + data[end:]


def swap_ranges(data: bytes, random: Random) -> bytes:
    """Exchange two ranges that do not overlap."""
    a, b, c, d = sorted((*_range(data, random), *_range(data, random)))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def splice(data: bytes, other: bytes, random: Random) -> bytes:
    """Begin as one file and end as another."""
    return data[: _place(data, random)] + other[_place(other, random) :]


BLIND: Sequence[Callable[[bytes, Random], bytes]] = (flip_bits, overwrite, cut, insert, repeat_range, swap_ranges)


def _place(data: bytes, random: Random) -> int:
    """A position; half of the time near where header and data meet, or at the beginning."""
    last = max(len(data) - 1, 0)
    if len(data) >= LENGTH.size and random.random() < 0.5:
        border = LENGTH.size + LENGTH.unpack_from(data)[0] if random.random() < 0.5 else LENGTH.size
        return min(max(border + random.randint(-24, 24), 0), last)
    return random.randint(0, last)


def _range(data: bytes, random: Random) -> tuple[int, int]:
    start = _place(data, random)
    longest = random.choice((1, 8, 64, 512, len(data)))
    return start, min(start + random.randint(0, longest), len(data))


def _token(random: Random) -> bytes:
    return random.choice(TOKENS) if random.random() < 0.7 else random.randbytes(random.choice((1, 2, 8, 40)))
