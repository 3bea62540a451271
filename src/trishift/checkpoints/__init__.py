"""Checkpoints: the canonical file, foreign file formats, and the dialects of foreign codebases."""

from __future__ import annotations

from trishift.checkpoints.canonical import Checkpoint
from trishift.checkpoints.conversion import Conversion, convert
from trishift.checkpoints.inspection import inspect_weights
from trishift.checkpoints.reading import import_weights, read_checkpoint

__all__ = ["Checkpoint", "Conversion", "convert", "import_weights", "inspect_weights", "read_checkpoint"]
