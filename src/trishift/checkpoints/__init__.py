"""Checkpoints: the canonical file, foreign file formats, and the dialects of foreign code bases."""

from __future__ import annotations

from trishift.checkpoints.canonical import Checkpoint
from trishift.checkpoints.importing import import_weights, read_checkpoint

__all__ = ["Checkpoint", "import_weights", "read_checkpoint"]
