"""Programs of checkpoints: a runtime such as ONNX Runtime runs weights as if they had been exported.

A program is made on first use, verified like every export, and kept in `programs/KEY/` below the home folder (see
`zoo.home`). KEY stands for all that determines it: weights, model, pixels, format, runtime, versions and the
code that writes it. Making one removes those that were not used for longest, beyond `BOUND` bytes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from trishift.backends.contract import Execution, State
from trishift.checkpoints.canonical import Checkpoint, encode_description
from trishift.errors import CheckpointError, FrameworkError
from trishift.export.description import description_path
from trishift.export.formats import FORMATS, Format
from trishift.export.opening import open_exported
from trishift.export.planning import ExportOptions, plan
from trishift.export.runtimes import check_packages, check_precision
from trishift.export.session import Deployed, RuntimeSession
from trishift.export.writing import export_checkpoint
from trishift.io.packages import installed
from trishift.model.feature_maps import check_size
from trishift.model.tensors import Tensors
from trishift.version import version_of
from trishift.zoo.home import claimed, home

_LOG = logging.getLogger(__name__)
_NAME = "program"
_PACKAGES = {"pytorch": "torch", "paddle": "paddlepaddle"}  # packages whose name is not that of the runtime
BOUND = 4 * 2**30  # bytes of all kept programs


class Programs(Deployed):
    """A checkpoint in a runtime: see `backends.contract.Predictor`.

    It has a program for clips of each size and one for streams of each size, each opened on first use.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        runtime: str,
        framework: str,
        execution: Execution | None = None,
        say: Callable[[str], object] = _LOG.info,
    ) -> None:
        """Check that the programs can be made; none is opened yet.

        Args:
            checkpoint: weights with a head, and the pixels they expect.
            runtime: `onnxruntime`, `openvino`, `mindspore`, `paddle` or `pytorch`.
            framework: writes the programs if it can; else the default of their format.
            execution: device, and precision if the runtime offers a choice.
            say: called with one line per program that is made.

        Raises:
            CheckpointError: the weights have no head.
            FrameworkError: a package is missing, or the runtime lacks the precision.
            RecipeError: the model cannot be exported.
        """
        self._target = format_of(runtime)
        self._writer = framework if framework in self._target.writers else self._target.writers[0]
        self._checkpoint, self._execution, self._say = checkpoint, execution, say
        self._options = ExportOptions(self._target.name, self._writer, runtime=runtime)
        self.framework, self.spec = runtime, plan(checkpoint, self._target, self._writer, self._options).model
        check_packages(runtime)
        check_precision(runtime, execution or Execution())
        self._weights = _digest(checkpoint.tensors)
        self._opened: dict[tuple[tuple[int, int], bool], RuntimeSession] = {}

    def predict(self, clips: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Clips (N, T, C, H, W) float32 to logits (N, K); the relations are those of the checkpoint.

        Raises:
            CheckpointError: the program differs from the checkpoint.
            DataError: segments or channels of the clips differ from those of the model.
            FrameworkError: the program cannot be written, or the runtime lacks the device or precision.
            HomeError: there is no program yet, and the home folder cannot be written.
            RecipeError: height and width do not suit the model.
        """
        return self._program(clips.shape, streaming=False).predict(clips, relations)

    def step(self, frames: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
        """Advance N streams by one frame (N, C, H, W) float32; returns logits (N, K) and the new state.

        Raises like `predict`; RecipeError also if the model cannot run frame by frame.
        """
        return self._program(frames.shape, streaming=True).step(frames, state)

    def check_clips(self, shape: tuple[int, ...]) -> None:
        """Open the program of clips (N, T, C, H, W). Raises like `predict`."""
        self._program(shape, streaming=False).check_clips(shape)

    def _program(self, shape: tuple[int, ...], streaming: bool) -> RuntimeSession:
        height, width = shape[-2:]
        kind = ((height, width), streaming)
        if kind not in self._opened:
            self._opened[kind] = self._open(*kind)
        return self._opened[kind]

    def _open(self, size: tuple[int, int], streaming: bool) -> RuntimeSession:
        """Open the kept program; it is made if there is none or it is damaged."""
        check_size(self.spec, size, "frames")
        assert self._checkpoint.input is not None
        checkpoint = replace(self._checkpoint, input=self._checkpoint.input.with_crop(size))
        options = replace(self._options, streaming=streaming)
        folder = home() / "programs" / key(checkpoint, self._weights, options)
        opened = self._kept(folder)  # without the lock: a home folder that is read only serves what it has
        if opened is None:
            with claimed(folder):
                opened = self._kept(folder, _LOG.warning) or self._made(checkpoint, options, folder)
            _remove_unused(folder)
        with suppress(OSError):
            os.utime(folder)
        return opened

    def _kept(self, folder: Path, warn: Callable[[str], object] = _LOG.debug) -> RuntimeSession | None:
        """Open a kept program; None if there is none or it is damaged; `warn` gets a line about that."""
        path = self._path(folder)
        if not description_path(path).is_file():
            return None
        try:
            return open_exported(path, self.framework, self._execution)[0]
        except CheckpointError as error:
            warn(f"{str(error).partition(';')[0]}; made anew")
            return None

    def _made(self, checkpoint: Checkpoint, options: ExportOptions, folder: Path) -> RuntimeSession:
        exported = export_checkpoint(checkpoint, options, folder, _NAME)
        worst = max(exported.description.measured["relative"].values())
        self._say(f"program for {self.framework}: made by {self._writer}, differs by {worst:.2g}; kept in {folder}")
        return open_exported(exported.path, self.framework, self._execution)[0]

    def _path(self, folder: Path) -> Path:
        return folder / f"{_NAME}{self._target.suffix}"


def format_of(runtime: str) -> Format:
    """The format whose programs a runtime opens.

    Raises:
        FrameworkError: the runtime is unknown.
    """
    for entry in FORMATS.values():
        if runtime in entry.runtimes and not entry.lossy:
            return entry
    known = sorted({name for entry in FORMATS.values() for name in entry.runtimes})
    raise FrameworkError(f"runtime {runtime!r} is unknown; one of {', '.join(known)}")


def key(checkpoint: Checkpoint, weights: str, options: ExportOptions) -> str:
    """Name of a program: a hash of all that determines it, with `weights` for that of the tensors."""
    runtime, writer, target = str(options.runtime), str(options.framework), FORMATS[options.format]
    packages = sorted({_PACKAGES.get(name, name) for name in (runtime, writer, *target.packages)})
    versions = [str(installed(name)) for name in packages]
    kind = "stream" if options.streaming else "clips"
    code = version_of("model", f"backends/{writer}", "export")
    parts = [encode_description(checkpoint), weights, target.name, runtime, writer, kind, code, *versions]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _digest(tensors: Tensors) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name} {tensor.shape} {tensor.dtype}\0".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


def _remove_unused(current: Path) -> None:
    """Remove the programs that were not used for longest until all take `BOUND` bytes; the current one stays."""
    used: list[tuple[float, Path]] = []
    for folder in current.parent.iterdir():
        with suppress(OSError):
            used.append((folder.stat().st_mtime, folder))
    total = 0
    for _, folder in sorted(used, reverse=True):
        total += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if total > BOUND and folder != current:
            shutil.rmtree(folder, ignore_errors=True)
