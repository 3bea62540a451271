"""Import every module of an installed Trishift; those that need an extra which is not installed are counted.

python import_everything.py
"""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path

import trishift
from trishift.errors import FrameworkError

OPTIONAL = {  # packages of the extras that modules import at their top; anything else that is missing is a mistake
    *("torch", "mindspore", "paddle", "onnx", "onnxruntime", "openvino"),
    *("fastapi", "starlette", "anyio", "uvicorn", "prometheus_client"),
}


def modules() -> list[str]:
    """The names of all modules."""
    folder = Path(trishift.__file__).parent
    files = sorted(path for path in folder.rglob("*.py") if path.stem not in ("__init__", "__main__"))
    return [".".join(path.relative_to(folder.parent).with_suffix("").parts) for path in files]


def missing(name: str) -> str | None:
    """Import a module; returns the optional package that it lacks."""
    try:
        importlib.import_module(name)
    except (ModuleNotFoundError, FrameworkError) as error:
        package = (getattr(error.__cause__ or error, "name", None) or "").partition(".")[0]
        if package not in OPTIONAL:
            raise
        return package
    return None


if __name__ == "__main__":
    found = Counter(missing(name) for name in modules())
    lacking = "".join(f", {count} need {package}" for package, count in found.items() if package)
    print(f"{found[None]} modules of {trishift.__file__} imported{lacking}")
