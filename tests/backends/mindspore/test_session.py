"""MindSpore's tests, in one separate process: the contract of `Session`, graphs and layers."""

from __future__ import annotations

from tests.support import isolated
from tests.support.paths import ROOT

BACKENDS = ROOT / "tests/backends"
CONTRACT = (BACKENDS / "contract/suite.py", BACKENDS / "contract/training_suite.py")
OWN = (BACKENDS / "mindspore/compile_suite.py", BACKENDS / "mindspore/layers_suite.py")
outcomes, test_session = isolated.suite(*CONTRACT, *OWN, TRISHIFT_FRAMEWORK="mindspore")
