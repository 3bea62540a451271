"""Verification of conversions: source and result must return the same logits for the same clip.

Each framework runs in its own process (see run_once.py); they conflict when imported together.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trishift.backends import check_framework
from trishift.backends.contract import Device
from trishift.checkpoints import canonical
from trishift.checkpoints.canonical import Checkpoint
from trishift.errors import CheckpointError, FrameworkError

REFERENCE = "pytorch"
TOLERANCE = 1e-4
"""Largest accepted difference of scores, relative to the largest score, between two versions of a model."""


@dataclass(frozen=True)
class Difference:
    """Largest difference between the logits of source and result.

    Attributes:
        framework: the result's framework.
        devices: the devices of source and result.
        absolute: max |a - b|.
        relative: max |a - b| / max |a|.
    """

    framework: str
    devices: tuple[str, str]
    absolute: float
    relative: float

    def __str__(self) -> str:
        return (
            f"{REFERENCE} on {self.devices[0]} (source) against {self.framework} on {self.devices[1]} (result): "
            f"max absolute difference {self.absolute:.3g}, max relative difference {self.relative:.3g}"
        )


def verify(
    source: Checkpoint, result: Checkpoint, frameworks: Sequence[str], device: Device | None = "cpu"
) -> list[Difference]:
    """Compare logits on a fixed random clip: the source in PyTorch, the result in each of `frameworks`.

    A backbone without a classifier receives one that averages its features. Each framework runs on `device`; None: on
    the best device that it finds.

    Raises:
        FrameworkError: a framework is missing or fails.
        CheckpointError: logits are not finite.
    """
    for framework in (REFERENCE, *frameworks):
        check_framework(framework)
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{name}.safetensors") for name in ("source", "result")]
        for file, checkpoint in zip(files, (source, result), strict=True):
            canonical.save(file, with_classifier(checkpoint))
        both = REFERENCE in frameworks  # a framework takes longer to start than to compute
        (expected, *again), first = _run(REFERENCE, device, files if both else files[:1])
        differences = []
        for framework in frameworks:
            [found], second = (again, first) if framework == REFERENCE else _run(framework, device, files[1:])
            absolute, largest = float(np.abs(expected - found).max()), float(np.abs(expected).max())
            differences.append(Difference(framework, (first, second), absolute, absolute / (largest or 1.0)))
    return differences


def with_classifier(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint; if it has no classifier, with one whose single logit is the mean of the features."""
    spec = checkpoint.spec
    if spec is None:
        raise CheckpointError("the checkpoint does not describe its model; it cannot be run")
    if spec.num_classes:
        return checkpoint
    width = spec.feature_width
    head = {"head.fc.weight": np.full((1, width), 1 / width, np.float32), "head.fc.bias": np.zeros(1, np.float32)}
    return replace(checkpoint, spec=replace(spec, num_classes=1), tensors={**checkpoint.tensors, **head})


def _run(framework: str, device: Device | None, weights: Sequence[Path]) -> tuple[list[np.ndarray], str]:
    """The logits of weight files, and the device on which they were computed."""
    command = [sys.executable, "-m", "trishift.checkpoints.run_once", framework, device or "", *map(str, weights)]
    source = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise FrameworkError(f"{framework} could not run the weights: {reason}")
    found = [np.asarray(np.load(file.with_suffix(".npy"))) for file in weights]
    if not all(np.isfinite(logits).all() for logits in found):  # NaN is neither above nor below any limit
        raise CheckpointError(f"{framework}: the logits of a random clip are not finite; check the weights")
    return found, done.stdout.split()[-1]
