"""Interoperation: tickets and masks of other tools come in, ours go out. A format is one file, found by a registry.

Numpy does the work; torch is imported where a ``.pth`` file is read or written, and nowhere else.
"""

from ticketkit.interop.format import (
    FORMATS,
    Exported,
    ExportRequest,
    Format,
    Imported,
    ImportRequest,
    Role,
    export_ticket,
    import_ticket,
)

__all__ = [
    "FORMATS",
    "ExportRequest",
    "Exported",
    "Format",
    "ImportRequest",
    "Imported",
    "Role",
    "export_ticket",
    "import_ticket",
]
