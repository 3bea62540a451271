"""MindSpore's layers, in a separate process."""

from __future__ import annotations

from tests.support import isolated
from tests.support.paths import ROOT

outcomes, test_layers = isolated.suite(
    ROOT / "tests/backends/mindspore/layers_suite.py", TRISHIFT_FRAMEWORK="mindspore"
)
