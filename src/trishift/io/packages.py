"""Versions of installed packages, whatever build of them is installed, and what they require of each other."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

_BUILDS = {  # other packages that provide the same module
    "paddlepaddle": ("paddlepaddle-gpu", "paddlepaddle-xpu", "paddlepaddle-dcu", "paddlepaddle-npu"),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"),
}


def installed(package: str) -> tuple[str, str] | None:
    """Name and version of a package, or of another build of it; None if there is none.

    Example:
        >>> from trishift.io.packages import installed
        >>> installed("numpy")[0], installed("no-such-package")
        ('numpy', None)
    """
    for name in (package, *_BUILDS.get(package, ())):
        try:
            return name, version(name)
        except PackageNotFoundError:
            continue
    return None


def unmet(package: str) -> Iterator[tuple[str, str]]:
    """What an installed package requires, but is not installed or has another version: (requirement, what is there)."""
    for text in requires(package) or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        found = installed(wanted.name)
        if found is None or not wanted.specifier.contains(found[1], prereleases=True):
            yield f"{wanted.name}{wanted.specifier}", found[1] if found else "nothing"
