"""Weights in a framework or runtime, for a process of their own: frameworks disturb each other in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trishift.api import load
from trishift.backends import FRAMEWORKS
from trishift.checking.trace import fingerprint
from trishift.model.relations import prediction_relations


def in_process(
    path: Path, runner: str, options: dict[str, Any], clips: np.ndarray
) -> Callable[[], dict[str, np.ndarray]]:
    """Open weights in a framework or runtime; the function returns what it computes from clips."""
    is_framework = runner in FRAMEWORKS
    model = load(
        path, runner if is_framework else "pytorch", runtime=None if is_framework else runner, strict=True, **options
    )

    def call() -> dict[str, np.ndarray]:
        arrays = {"logits": model.session.predict(clips, prediction_relations(model.spec))}
        if model.session.has_layers:
            arrays["features"] = model.session.features(clips, ["pooled"])["pooled"]
            arrays["weights"] = fingerprint(model.session.dump_tensors())  # type: ignore[attr-defined]
        return arrays

    return call
