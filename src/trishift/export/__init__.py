"""Deployment formats: written from a checkpoint, proven against it, and opened again as predictors."""

from __future__ import annotations

from trishift.export.description import Description
from trishift.export.opening import is_exported, open_exported
from trishift.export.session import RuntimeSession
from trishift.export.writing import Exported, ExportOptions, export_checkpoint, with_size

__all__ = [
    "Description",
    "ExportOptions",
    "Exported",
    "RuntimeSession",
    "export_checkpoint",
    "is_exported",
    "open_exported",
    "with_size",
]
