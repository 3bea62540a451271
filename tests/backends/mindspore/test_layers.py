"""What only MindSpore has, in a process of its own."""

from __future__ import annotations

from tests.support import isolated
from tests.support.paths import ROOT

outcomes, test_layers = isolated.suite(ROOT / "tests/backends/mindspore/suite.py", TRISHIFT_FRAMEWORK="mindspore")
