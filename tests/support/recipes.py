"""A small recipe as text, and its file."""

from __future__ import annotations

from pathlib import Path

BASE = """\
name: base
model:
  backbone: resnet18
  shift: {div: 8}
train:
  lr: 1e-2
  milestones: [2, 4]
"""


def write(folder: Path, name: str, text: str) -> Path:
    """Write a recipe and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
