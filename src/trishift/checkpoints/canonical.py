"""The canonical checkpoint: safetensors under canonical names, with a JSON description.

The JSON (metadata entry `trishift`) holds the model, its pixel format, its class names and the origin of the weights,
so that the file runs in any framework without any other file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trishift.checkpoints.formats.safetensors import read_safetensors, write_safetensors
from trishift.errors import CheckpointError, RecipeError, brief
from trishift.io.wording import counted
from trishift.model.serialization import from_json, to_json
from trishift.model.spec import InputSpec, ModelSpec

FORMAT_VERSION = 1
DESCRIPTION_KEY = "trishift"  # metadata entry of the JSON, in every file with a description
_KEYS = {"format", "spec", "input", "labels", "meta"}
WINDOW, CALIBRATION = "window", "calibration"  # keys of `meta`
META_KEYS = ("recipe", "framework", "version", "epoch", "metrics", "thresholds", WINDOW, CALIBRATION, "origin")
TRAINING_PREFIX = "training."  # tensors and metadata of a training state, see training_state.py
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Weights and everything needed to run them.

    Attributes:
        tensors: canonical name to array of canonical (torch) shape.
        spec: the model; `num_classes` 0 means no head.
        input: the pixel format it expects.
        labels: class names in the order of the logits, or None.
        meta: any of `recipe`, `framework` and `version` (of the writing program), `epoch`, `metrics`, `thresholds` (one
            probability per class, for multi-label models), `window` (median seconds of the training clips),
            `calibration` (see `evaluation/calibration.py`), `origin` (of imported weights: file, format, dialect,
            sha256). Plain JSON types.
    """

    tensors: dict[str, np.ndarray]
    spec: ModelSpec | None = None
    input: InputSpec | None = None
    labels: tuple[str, ...] | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [key for key in self.meta if key not in META_KEYS]
        if unknown:
            raise CheckpointError(f"meta: unknown key {unknown[0]!r}; known: {', '.join(META_KEYS)}")
        if self.labels is not None and self.spec is not None and len(self.labels) != self.spec.num_classes:
            raise CheckpointError(
                f"{counted(len(self.labels), 'label')} for a model of {counted(self.spec.num_classes, 'class')}"
            )

    def require_model(self) -> tuple[ModelSpec, InputSpec]:
        """The network and the pixel format that it expects.

        Raises:
            CheckpointError: it has no head.
        """
        if self.spec is None or self.input is None or not self.spec.num_classes:
            raise CheckpointError("the weights have no head; train one with train.initial_weights")
        return self.spec, self.input

    def without_calibration(self) -> Checkpoint:
        """The same for other logits, which the calibration does not fit."""
        return replace(self, meta={key: value for key, value in self.meta.items() if key != CALIBRATION})


def save(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a canonical file, atomically: an existing file is replaced in one step or left untouched.

    Raises:
        CheckpointError: `meta` is not plain JSON, or an array has a type the format does not support.
        OutputError: the file cannot be written.
    """
    write_safetensors(path, checkpoint.tensors, {DESCRIPTION_KEY: encode_description(checkpoint)})


def load(path: str | Path) -> Checkpoint:
    """Read a canonical file, without its training state.

    Raises:
        CheckpointError: the file is not canonical, damaged, or of a newer version.
    """
    tensors, metadata = read_safetensors(path, lambda name: not name.startswith(TRAINING_PREFIX))
    return decode(path, tensors, metadata)


def is_canonical(metadata: Mapping[str, str]) -> bool:
    """Whether a safetensors file's metadata marks a canonical checkpoint."""
    return DESCRIPTION_KEY in metadata


def encode_description(checkpoint: Checkpoint) -> str:
    """Return a checkpoint's JSON: everything but its tensors."""
    content = {
        "format": FORMAT_VERSION,
        "spec": None if checkpoint.spec is None else to_json(checkpoint.spec),
        "input": None if checkpoint.input is None else to_json(checkpoint.input),
        "labels": checkpoint.labels,
        "meta": checkpoint.meta,
    }
    try:
        return json.dumps(content, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"meta: only plain JSON types can be stored ({error})") from error


def decode(path: str | Path, tensors: dict[str, np.ndarray], metadata: Mapping[str, str]) -> Checkpoint:
    """Build a checkpoint from a file's tensors and metadata; `path` is used in messages."""
    if not is_canonical(metadata):
        raise CheckpointError(f"{path}: no Trishift checkpoint (no description inside); import it with trishift.load")
    return decode_description(path, tensors, metadata[DESCRIPTION_KEY])


def decode_description(path: str | Path, tensors: dict[str, np.ndarray], description: str) -> Checkpoint:
    """Invert `encode_description`."""
    try:
        content = json.loads(description)
        version = int(content["format"])
        if version > FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: written in format {version} by a newer Trishift (this one reads up to {FORMAT_VERSION}); "
                "upgrade Trishift"
            )
        unknown = sorted(set(content) - _KEYS)
        if unknown:
            raise CheckpointError(f"{path}: unknown entry {unknown[0]!r} in its description")
        return Checkpoint(
            tensors=tensors,
            spec=None if content["spec"] is None else from_json(ModelSpec, content["spec"]),
            input=None if content["input"] is None else from_json(InputSpec, content["input"]),
            labels=None if content["labels"] is None else _class_names(content["labels"]),
            meta=_known_meta(path, _checked_meta(content["meta"], (content["spec"] or {}).get("num_classes"))),
        )
    except RecursionError as error:
        raise CheckpointError(f"{path}: its description is damaged (nested too deeply)") from error
    except (RecipeError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{path}: its description is damaged ({brief(error)})") from error


def _class_names(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("labels must be a list of class names")
    return tuple(names)


def _known_meta(path: str | Path, meta: dict[str, Any]) -> dict[str, Any]:
    """Leave out entries of later versions, which only add to what the rest means."""
    unknown = [key for key in meta if key not in META_KEYS]
    if unknown:
        _log.warning("%s: written by a newer Trishift; ignored: %s", path, ", ".join(unknown))
    return {key: value for key, value in meta.items() if key in META_KEYS}


def _checked_meta(meta: Any, num_classes: int | None) -> dict[str, Any]:
    """Check the entries of `meta` that programs rely on."""
    kinds = {"recipe": dict, "origin": dict, "metrics": dict, "epoch": int}
    for key, kind in kinds.items():
        if not isinstance(meta.get(key), kind | None):
            raise ValueError(f"meta.{key} has the wrong type")
    window = meta.get(WINDOW)
    if window is not None and not (_is_number(window) and 0 < window < float("inf")):
        raise ValueError("meta.window must be a positive number of seconds")
    if (thresholds := meta.get("thresholds")) is not None:
        _check_thresholds("thresholds", thresholds, num_classes or len(thresholds))  # a backbone may keep them
    if meta.get(CALIBRATION) is not None:
        _check_calibration(meta[CALIBRATION], num_classes)
    return dict(meta)


def _check_calibration(entry: dict[str, Any], num_classes: int | None) -> None:
    temperature = entry["temperature"]
    if not (_is_number(temperature) and 0 < temperature < float("inf")):
        raise ValueError("meta.calibration.temperature must be a positive number")
    _check_thresholds("calibration.thresholds", entry["thresholds"], num_classes)


def _check_thresholds(name: str, thresholds: Any, num_classes: int | None) -> None:
    if len(thresholds) != num_classes or not all(_is_number(value) and 0 <= value <= 1 for value in thresholds):
        raise ValueError(f"meta.{name} must be a probability per class")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
