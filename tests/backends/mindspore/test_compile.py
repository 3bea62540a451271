"""MindSpore's graphs, in a separate process."""

from __future__ import annotations

from tests.support import isolated
from tests.support.paths import ROOT

outcomes, test_compile = isolated.suite(
    ROOT / "tests/backends/mindspore/compile_suite.py", TRISHIFT_FRAMEWORK="mindspore"
)
