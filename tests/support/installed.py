"""Installed frameworks; tests of the others are skipped."""

from __future__ import annotations

import importlib.util

from trishift.backends import MODULES

INSTALLED = tuple(name for name, module in MODULES.items() if importlib.util.find_spec(module))
MISSING = tuple(name for name in MODULES if name not in INSTALLED)
