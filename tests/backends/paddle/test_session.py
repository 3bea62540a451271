"""The contract of `Session` in PaddlePaddle."""

from __future__ import annotations

from tests.support import isolated
from tests.support.paths import ROOT

outcomes, test_session = isolated.suite(ROOT / "tests/backends/contract/suite.py", TRISHIFT_FRAMEWORK="paddle")
