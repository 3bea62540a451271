"""The Python API: load any supported weight file into any framework, call it, predict, convert.

import trishift
model = trishift.load("weights.pth", framework="mindspore", num_segments=8)
logits = model(clips)                          # (N, T, C, H, W) float32 -> (N, K) float32
model.predict("video.mp4", top_k=5)            # [(label, probability), ...]
stream = model.stream()                        # unidirectional models, one frame a step
stream.step(frame)                             # (N, 3, H, W) float32 -> (N, K) float32
"""

from __future__ import annotations

import logging
import typing
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trishift.backends import check_framework, open_session
from trishift.backends.contract import Execution, Predictor
from trishift.checkpoints import Checkpoint, import_weights
from trishift.checkpoints import convert as convert
from trishift.data.dataset import unlabeled_set
from trishift.data.protocol import Protocol
from trishift.errors import CheckpointError, DataError
from trishift.evaluation.evaluator import score_videos
from trishift.evaluation.prediction import Prediction, top_predictions
from trishift.evaluation.thresholds import read_thresholds, stored_thresholds
from trishift.export.opening import is_exported, open_exported
from trishift.model.relations import prediction_relations
from trishift.model.spec import InputSpec, ModelSpec
from trishift.streaming.stream import Stream

_log = logging.getLogger(__name__)


class LoadReport(typing.Protocol):
    """What was loaded: the `ConversionReport` of a weight file, or the `Description` of an exported model."""

    def summary(self) -> str:
        """It in one line."""

    def __str__(self) -> str: ...


class Model:
    """A recognizer with its weights, class names and preprocessing, in one framework or deployment runtime.

    Attributes:
        spec: what the network is.
        input: the pixels that it expects.
        labels: class names; their numbers where the weights came without names.
        session: the network in its framework, or the exported program in its runtime.
        report: what was found in the file.
        meta: what is known about the origin of the weights, see `Checkpoint`.
        thresholds: (K,) probabilities that make a class a label, where a video can have several; else None.

    Args:
        checkpoint: what the model is; its tensors are not read.
        session: runs the model.
        report: what was found in the file.

    Raises:
        CheckpointError: the checkpoint has no head.

    Example:
        >>> model = trishift.load("model.safetensors")
        >>> model.spec.num_segments, model.input.crop
        (4, 32)
        >>> model.labels[:2]
        ('No gesture', 'Swiping Down')
    """

    def __init__(self, checkpoint: Checkpoint, session: Predictor, report: LoadReport) -> None:
        self.spec, self.input = _require_model(checkpoint)
        self.labels: tuple[str, ...] = checkpoint.labels or tuple(str(i) for i in range(self.spec.num_classes))
        self.session, self.report = session, report
        self.meta = checkpoint.meta
        several = self.spec.multi_label
        self.thresholds = stored_thresholds(checkpoint.meta, self.spec.num_classes) if several else None

    def set_thresholds(self, text: str) -> None:
        """Take other thresholds: a number for all classes, or those in the result.json of an evaluation.

        Raises:
            DataError: it is neither, or the model gives one label a video.
        """
        if self.thresholds is None:
            raise DataError("thresholds: are for several labels a video; this model gives one, the most likely")
        self.thresholds = read_thresholds(text, self.spec.num_classes)

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        """Logits (N, K) of clips (N, T, C, H, W), normalized float32 (see `input`).

        Example:
            >>> model = trishift.load("model.safetensors")
            >>> clips = np.zeros((2, 4, 3, 32, 32), np.float32)  # two clips of four RGB frames
            >>> model(clips).shape
            (2, 9)
        """
        return self.session.predict(np.asarray(clips, np.float32), prediction_relations(self.spec))

    def predict(self, path: str | Path, top_k: int = 5, protocol: Protocol | None = None) -> list[tuple[str, float]]:
        """The k most likely classes of a video file or a frame folder: [(label, probability), ...].

        Where a video can have several labels, those above their thresholds are listed even if they are more than k.

        Raises:
            DataError: the video cannot be read.

        Example:
            >>> model = trishift.load("model.safetensors")
            >>> for label, probability in model.predict("clip.mp4", top_k=2):
            ...     print(f"{label}: {probability:.0%}")
            Swiping Left: 80%
            Swiping Right: 10%
        """
        predictions, misses = self.predict_many([Path(path)], top_k, protocol)
        if misses:
            raise DataError(misses[0][1])
        return predictions[0].pairs()

    def predict_many(
        self, paths: Sequence[Path], top_k: int = 5, protocol: Protocol | None = None, workers: int = 2
    ) -> tuple[list[Prediction], list[tuple[str, str]]]:
        """Predictions of the readable videos in order, and (name, reason) of the others."""
        dataset = unlabeled_set(paths, self.input, self.spec, protocol or Protocol())
        scores, scored = score_videos(self.session, dataset, batch_size=4, workers=workers)
        names = [str(path) for path, readable in zip(paths, scored, strict=True) if readable]
        return top_predictions(names, scores[scored], self.labels, top_k, self.thresholds), dataset.misses()

    def features(self, clips: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
        """Activations of named layers (`layer1`, ..., `pooled`, `logits`), frames explicit: (N, T, ...).

        Example:
            >>> model = trishift.load("model.safetensors")
            >>> clips = np.zeros((2, 4, 3, 32, 32), np.float32)
            >>> model.features(clips, ["pooled"])["pooled"].shape  # a vector per frame
            (2, 4, 64)
        """
        return self.session.features(np.asarray(clips, np.float32), layers)

    def stream(self) -> Stream:
        """A stream of one or several videos, one frame a step: `stream.step(frame)`, (N, 3, H, W) to (N, K).

        Raises:
            RecipeError: the model is not unidirectional, or has non-local blocks, temporal pooling or relations.

        Example:
            >>> from trishift.data.sources import open_clip
            >>> stream = trishift.load("model.safetensors").stream()
            >>> for image in open_clip("clip.mp4").read(range(3)):
            ...     logits = stream.step_image(image)
            >>> logits.shape
            (9,)
        """
        return Stream(self.session, self.input)


def load(
    path: str | Path,
    framework: str = "pytorch",
    *,
    execution: Execution | None = None,
    runtime: str | None = None,
    **options: Any,
) -> Model:
    """Load weights of any supported family and file format, or an exported model.

    Args:
        path: a canonical `.safetensors`, or a foreign file; its family is recognized from names and shapes. Or an
            exported file or folder (`.onnx`, `.mindir`, `.pt2`, `.paddle`, `.openvino-int8`).
        framework: `pytorch`, `mindspore` or `paddle`; not used for an exported model.
        execution: device, precision and the like.
        runtime: what runs an exported model (`onnxruntime`, `openvino`, ...); None for its format's own.
        options: what names cannot tell: `num_segments=16`, `relations="all"`, `dialect="tsm"`, ...

    Raises:
        CheckpointError: the file is not readable, not recognized, or leaves a question open (it says which option).
        FrameworkError: the framework or the device is missing.

    Example:
        >>> import trishift
        >>> model = trishift.load("model.safetensors", framework="pytorch")
        >>> model.spec.backbone
        'resnet10'
        >>> [(label, probability)] = model.predict("clip.mp4", top_k=1)
        >>> label
        'Swiping Left'
    """
    path = Path(path)
    if is_exported(path):
        model = _load_exported(path, runtime, execution, options)
    elif runtime is not None:
        raise CheckpointError(f"{path}: no exported model; choose a framework instead of runtime {runtime}")
    else:
        model = _load_weights(path, framework, execution, options)
    _log.info("%s", model.report)
    return model


def _load_exported(path: Path, runtime: str | None, execution: Execution | None, options: Mapping[str, Any]) -> Model:
    if options:
        raise CheckpointError(f"{path}: is exported, and {next(iter(options))} is fixed; export it anew to change it")
    session, description = open_exported(path, runtime, execution)
    return Model(replace(description.checkpoint, input=description.input), session, description)


def _load_weights(path: Path, framework: str, execution: Execution | None, options: Mapping[str, Any]) -> Model:
    check_framework(framework)
    checkpoint, report = import_weights(path, **options)
    spec, _ = _require_model(checkpoint)
    session = open_session(framework, spec, execution)
    session.load_tensors(checkpoint.tensors)
    return Model(checkpoint, session, report)


def _require_model(checkpoint: Checkpoint) -> tuple[ModelSpec, InputSpec]:
    """The network of a checkpoint and the pixels it expects.

    Raises:
        CheckpointError: there is no head.
    """
    if checkpoint.spec is None or checkpoint.input is None or not checkpoint.spec.num_classes:
        raise CheckpointError("the weights have no head and do not make a model; train one with train.initial_weights")
    return checkpoint.spec, checkpoint.input
