"""Settings that all benchmarks share, and the models and clips that they measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from testing.weights import smooth_weights

from trishift.backends import FRAMEWORKS
from trishift.backends.fast_forms import PATIENCE
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.model.spec import ModelSpec, ShiftSpec, default_input


@dataclass(frozen=True)
class Options:
    """Settings of a call.

    Attributes:
        folder: for generated weights and clips, which later calls use again.
        rounds: rounds of every comparison.
        quick: tiny models in this process, to try the command itself.
        clips: folder of the user's own videos; None: only generated ones.
        frameworks: frameworks to measure.
    """

    folder: Path
    rounds: int = 7
    quick: bool = False
    clips: Path | None = None
    frameworks: tuple[str, ...] = FRAMEWORKS

    @property
    def spec(self) -> ModelSpec:
        """TSM ResNet-50 with 8 segments, or a tiny one."""
        if self.quick:
            return ModelSpec("resnet14", 7, 4, width=8, shift=ShiftSpec(), dropout=0.0)
        return ModelSpec("resnet50", 400, 8, shift=ShiftSpec(), dropout=0.0)

    @property
    def size(self) -> int:
        """Side of the frames in pixels."""
        return 32 if self.quick else 224

    def checkpoint(self, spec: ModelSpec | None = None, size: int | None = None) -> Path:
        """A weight file of a model for frames of a size, written if it is missing; defaults: `spec` and `size`."""
        spec, size = spec or self.spec, size or self.size
        shift = "tsm" if spec.shift else "tsn"
        path = self.folder / f"{shift}-{spec.backbone}-{spec.num_segments}x{size}.safetensors"
        if not path.is_file():
            pixels = replace(default_input(spec.backbone), resize=size * 8 // 7, crop=size)
            path.parent.mkdir(parents=True, exist_ok=True)
            save(path, Checkpoint(smooth_weights(spec), spec, pixels))
        return path

    def of(self, frameworks: Mapping[str, Any]) -> dict[str, Any]:
        """The entries of the frameworks that are measured."""
        return {name: entry for name, entry in frameworks.items() if name in self.frameworks}


def settled_after(framework: str) -> int:
    """Calls after which the default form of a framework is as fast as it becomes."""
    return PATIENCE + 1 if framework == "mindspore" else 1


def noise(batch: int, spec: ModelSpec, size: int) -> np.ndarray:
    """(N, T, C, H, W) float32 clips of noise."""
    shape = (batch, spec.num_segments, spec.in_channels, size, size)
    return np.random.default_rng(0).standard_normal(shape, np.float32)
