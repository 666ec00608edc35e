"""Studies: sources × targets × sparsities × arms × seeds × policies, one file a cell."""

from ticketkit.sweep.study import Study, load_study

__all__ = ["Study", "load_study"]
