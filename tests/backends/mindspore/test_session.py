"""MindSpore's tests, in one separate process: the contract of `Session`, graphs and layers."""

from __future__ import annotations

from tests.support import isolated
from tests.support.paths import ROOT

BACKENDS = ROOT / "tests/backends"
CONTRACT = (BACKENDS / "contract/suite.py", BACKENDS / "contract/training_suite.py")
OWN = tuple(BACKENDS / f"mindspore/{name}_suite.py" for name in ("compile", "export", "layers"))
outcomes, test_session = isolated.suite(*CONTRACT, *OWN, TRISHIFT_FRAMEWORK="mindspore")
