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


def unmet(package: str, extra: str = "") -> Iterator[tuple[str, str]]:
    """What an installed package requires, but is not installed or has another version: (requirement, what is there).

    Args:
        package: its name; nothing is known of one that runs from its sources without being installed.
        extra: what this extra adds to the requirements, instead of those that hold without it.
    """
    for wanted in _requirements(package, extra):
        found = installed(wanted.name)
        if found is None:
            yield f"{wanted.name}{wanted.specifier}", "nothing"
        elif not wanted.specifier.contains(found[1], prereleases=True):
            yield f"{found[0]}{wanted.specifier}", found[1]


def _requirements(package: str, extra: str) -> Iterator[Requirement]:
    try:
        texts = requires(package) or ()
    except PackageNotFoundError:
        return
    for wanted in map(Requirement, texts):
        marker = wanted.marker
        always = marker is None or marker.evaluate({"extra": ""})
        if always if not extra else marker is not None and not always and marker.evaluate({"extra": extra}):
            yield wanted
