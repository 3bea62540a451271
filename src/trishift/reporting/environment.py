"""The state of this machine: frameworks, runtimes, decoders, devices and folders, with remedies for what is missing."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from trishift.backends import FRAMEWORKS, PACKAGES
from trishift.errors import TrishiftError, brief, install_hint
from trishift.io.atomic import check_writable
from trishift.io.packages import installed, unmet
from trishift.version import __version__
from trishift.zoo.home import home, is_offline, mirror

State = Literal["ok", "missing", "problem"]
_OPTIONAL = {  # package to its extra and its purpose
    "onnxruntime": ("export", "runs ONNX exports"),
    "onnx": ("export", "writes ONNX exports"),
    "openvino": ("export", "runs ONNX and INT8 exports"),
    "nncf": ("export", "quantizes to INT8"),
    "huggingface_hub": ("hub", "reads hf:// addresses, uploads models"),
    "opencv-python-headless": ("demo", "reads cameras outside Linux"),
}
_DECODERS = ("h264", "hevc", "mpeg4", "vp8", "vp9", "av1")
_PROBE = "from trishift.backends import find_device; print(find_device({!r}))"
_PATIENCE = 180  # seconds for the import of a framework on a busy machine
_TESTED_MINDSPORE = "2.8."
_OWN = "trishift"  # its extras have the names of the frameworks


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        group: heading.
        name: its subject.
        state: `ok`; `missing`, which only matters to those who need it; or `problem`.
        detail: version, device or reason.
        remedy: what to do, empty if there is nothing to do.
    """

    group: str
    name: str
    state: State
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.state:8}{self.name}: {self.detail}{f'; {self.remedy}' if self.remedy else ''}"


def examine() -> list[Check]:
    """Check this machine. Every framework is imported in a process of its own."""
    with ThreadPoolExecutor() as pool:
        frameworks = pool.map(_framework, FRAMEWORKS)
        machine = list(_machine())
        others = [*_decoding(), *(_optional(*entry) for entry in _OPTIONAL.items()), *_folders()]
        found = list(frameworks)
    if all(check.state == "missing" for check in found):
        remedy = f"{install_hint('pytorch')}, or another framework"
        found.append(Check("frameworks", "none", "problem", "no framework is installed", remedy))
    return [*machine, *found, *others]


def _machine() -> Iterator[Check]:
    yield _own_packages()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check("machine", "Python", "ok", f"{platform.python_version()} on {platform.system()}, {cores} CPU cores")


def _own_packages() -> Check:
    """Trishift itself: whether what it requires is there."""
    if installed(_OWN) is None:
        detail = f"{__version__}, not installed as a package, so required versions are not compared"
        return Check("machine", "Trishift", "ok", detail)
    if conflicts := dict(unmet(_OWN)):
        return Check("machine", "Trishift", "problem", f"{__version__} {_needs(conflicts)}", _install(conflicts))
    return Check("machine", "Trishift", "ok", __version__)


def _needs(conflicts: Mapping[str, str]) -> str:
    """All unmet requirements in words."""
    return "needs " + "; ".join(f"{wanted}, found {there}" for wanted, there in conflicts.items())


def _install(conflicts: Iterable[str]) -> str:
    return f"pip install {shlex.join(conflicts)}"


def _framework(name: str) -> Check:
    """Import a framework in a new process, where it can neither crash this one nor disturb another framework."""
    found = installed(PACKAGES[name])
    if found is None:
        return Check("frameworks", name, "missing", "not installed", install_hint(name))
    package, number = found
    build = _build(PACKAGES[name], package, number)
    command = [sys.executable, "-c", _PROBE.format(name)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, env=environment)
    except subprocess.TimeoutExpired:
        return Check("frameworks", name, "problem", f"{build}, whose import takes over {_PATIENCE} s")
    lines = (done.stderr if done.returncode else done.stdout).split("\n")
    last = next((line for line in reversed(lines) if line.strip()), f"status {done.returncode}")
    if done.returncode:
        return Check("frameworks", name, "problem", f"{build} cannot be imported ({last[:200]})", "install it again")
    if name == "mindspore" and last == "cpu" and not number.startswith(_TESTED_MINDSPORE):
        remedy = "install mindspore==2.8.0"
        return Check("frameworks", name, "problem", f"{build} may compute 100 times slower on CPUs than 2.8", remedy)
    if conflicts := {**dict(unmet(_OWN, name)), **dict(unmet(package))}:
        return Check("frameworks", name, "problem", f"{build} {_needs(conflicts)}", _install(conflicts))
    return Check("frameworks", name, "ok", f"{build}, best device: {last}")


def _build(package: str, found: str, number: str) -> str:
    """The version of a package, with the name of another build of it."""
    return number if found == package else f"{number} ({found})"


def _decoding() -> Iterator[Check]:
    import av

    missing = [name for name in _DECODERS if not _has_decoder(name)]
    codecs = ".".join(map(str, av.library_versions["libavcodec"]))
    yield Check("decoding", "PyAV", "ok", f"{version('av')}, libavcodec {codecs}")
    if missing:
        remedy = "install PyAV from its wheel, which has all decoders"
        yield Check("decoding", "decoders", "problem", f"missing: {', '.join(missing)}", remedy)
    else:
        yield Check("decoding", "decoders", "ok", ", ".join(_DECODERS))


def _has_decoder(name: str) -> bool:
    import av

    try:
        return av.codec.Codec(name, "r") is not None
    except ValueError:
        return False


def _optional(package: str, entry: tuple[str, str]) -> Check:
    extra, purpose = entry
    found = installed(package)
    if found is None:
        return Check("optional", package, "missing", f"not installed, {purpose}", install_hint(extra))
    conflicts = {wanted: there for wanted, there in unmet(_OWN, extra) if Requirement(wanted).name == found[0]}
    if conflicts:
        return Check(
            "optional", package, "problem", f"{_build(package, *found)} {_needs(conflicts)}", _install(conflicts)
        )
    return Check("optional", package, "ok", f"{_build(package, *found)}, {purpose}")


def _folders() -> Iterator[Check]:
    try:
        folder = home()
        check_writable(folder / "trial")
        requests = "no requests (TRISHIFT_OFFLINE)" if is_offline() else "requests allowed"
        copies = f", mirror {mirror()}" if mirror() else ""
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
        free = shutil.disk_usage(_existing(folder)).free / 2**30
        detail = f"{folder}, {size:,.0f} MB used, {free:,.0f} GB free; {requests}{copies}"
        yield Check("folders", "downloads and programs", "ok", detail)
    except TrishiftError as error:
        yield Check("folders", "downloads and programs", "problem", brief(error), "set TRISHIFT_HOME")


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
