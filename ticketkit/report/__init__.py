"""Reports: what a ticket holds and what two tickets share, as values. Pure numpy, no rendering."""

from ticketkit.report.comparison import ArmResult, Report, Run, verdict
from ticketkit.report.overlap import LayerOverlap, Overlap, compare
from ticketkit.report.sparsity import GroupSparsity, LayerSparsity, Sizes, SparsityReport

__all__ = [
    "ArmResult",
    "GroupSparsity",
    "LayerOverlap",
    "LayerSparsity",
    "Overlap",
    "Report",
    "Run",
    "Sizes",
    "SparsityReport",
    "compare",
    "verdict",
]
