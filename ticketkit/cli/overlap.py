"""How ``inspect --compare`` and ``diff`` show what two tickets of one network share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ticketkit.cli.output import fields, percent, shortened, text_table

if TYPE_CHECKING:
    from ticketkit.report.overlap import Overlap


def overlap_summary(overlap: Overlap, path: str) -> list[str]:
    """Lines that say how much two tickets share of the whole network; ``path`` is the other's file."""
    return fields(
        [
            ("other", path),
            ("id", overlap.other_id),
            ("overlap", f"{percent(overlap.iou)} intersection over union ({percent(overlap.iou_by_chance)} by chance)"),
            ("", f"{overlap.kept:,} kept here, {overlap.other_kept:,} there, {overlap.both:,} in both"),
            ("", f"{overlap.equal:,} of these {overlap.both:,} have equal values, bit for bit"),
        ]
    )


def overlap_table(overlap: Overlap) -> list[str]:
    """Lines of a table of the same, layer by layer."""
    columns = ("#", "layer", "kept", "other", "both", "equal", "chance", "overlap")
    rows = [
        (
            str(layer.index),
            shortened(layer.name, 21),
            f"{layer.kept:,}",
            f"{layer.other_kept:,}",
            f"{layer.both:,}",
            f"{layer.equal:,}",
            percent(layer.iou_by_chance),
            percent(layer.iou),
        )
        for layer in overlap.layers
    ]
    return text_table(columns, rows, left=("layer",))
