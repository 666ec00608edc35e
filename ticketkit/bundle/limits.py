"""What a reader is willing to take from a file before it has read it (formats/ticket-v1.md, section 6)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps on a bundle, each checked before memory for it is taken.

    Attributes:
        header_bytes: Length of the safetensors header, which holds the document.
        nesting: How deep arrays and objects of the header, or of the document, may lie in each other.
        values: Number of JSON values in the header, or in the document; an empty array or object counts as two.
        string_bytes: Length of a string of the document, as it stands between its quotation marks.
        layers: Number of layers.
        file_bytes: Length of the whole file.
        dense_bytes: Size of all tensors in their dense form.
    """

    header_bytes: int = 4 * 2**20
    nesting: int = 64
    values: int = 200_000
    string_bytes: int = 1_000_000
    layers: int = 100_000
    file_bytes: int = 64 * 2**30
    dense_bytes: int = 64 * 2**30


DEFAULT_LIMITS = Limits()
