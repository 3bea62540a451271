"""Paths of the repository, for tests at any depth."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "tests" / "support"
SHARED = ROOT.parent / "shared"  # real clips and weights, beside the repository
