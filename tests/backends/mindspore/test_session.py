"""The contract of `Session` in MindSpore."""

from __future__ import annotations

from tests.support import isolated
from tests.support.paths import ROOT

CONTRACT = ROOT / "tests/backends/contract"
outcomes, test_session = isolated.suite(
    *(CONTRACT / "suite.py", CONTRACT / "training_suite.py"), TRISHIFT_FRAMEWORK="mindspore"
)
