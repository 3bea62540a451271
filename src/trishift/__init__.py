"""Video action recognition in PyTorch, MindSpore and PaddlePaddle from one recipe and one checkpoint.

Importing this package loads no framework; `trishift.load` and the commands import only the one requested.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from trishift.version import __version__

if TYPE_CHECKING:
    from trishift import recipe
    from trishift.api import Model, convert, list_models, load
    from trishift.checking.ways import check

_HOMES = {
    **dict.fromkeys(("Model", "convert", "list_models", "load"), "trishift.api"),
    "check": "trishift.checking.ways",
}
__all__ = ["Model", "__version__", "check", "convert", "list_models", "load", "recipe"]


def __getattr__(name: str) -> Any:
    """Import public names on first use, so that `import trishift` stays fast."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "recipe":
        return importlib.import_module("trishift.recipe")
    raise AttributeError(f"module 'trishift' has no attribute {name!r}")
