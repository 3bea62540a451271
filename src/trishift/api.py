"""The Python API: load any supported weight file into any framework, call it, predict, convert.

import trishift
model = trishift.load("weights.pth", framework="mindspore", num_segments=8)
logits = model(clips)                          # (N, T, C, H, W) float32 -> (N, K) float32
model.predict("video.mp4", top_k=5)            # [(label, probability), ...]
stream = model.stream()                        # unidirectional models, one frame per step
stream.step(frame)                             # (N, 3, H, W) float32 -> (N, K) float32
"""

from __future__ import annotations

import logging
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from trishift.backends.contract import Execution, Predictor
from trishift.checkpoints import Checkpoint, Conversion, import_weights
from trishift.checkpoints import convert as convert_file
from trishift.checkpoints.conversion import check_destination
from trishift.data.clip_reader import ClipReader
from trishift.data.dataset import EvaluationSet
from trishift.data.given import GivenSet
from trishift.data.lists import ClipList
from trishift.data.opening import unlabeled_set
from trishift.data.protocol import Protocol
from trishift.errors import CheckpointError, RecipeError
from trishift.evaluation.calibration import stored_calibration
from trishift.evaluation.given import Clip, clips_in, is_clip, predict_clips
from trishift.evaluation.predicting import Results, predict_batches
from trishift.evaluation.prediction import Miss, Prediction
from trishift.export.formats import runtime_named
from trishift.export.opening import is_exported
from trishift.export.predictors import Choice, exported_predictor, weights_predictor
from trishift.model.relations import prediction_relations
from trishift.streaming.source import Source
from trishift.streaming.sources import open_source
from trishift.streaming.stream import Stream
from trishift.streaming.timeline import Timeline, window_lengths
from trishift.zoo.published import matching
from trishift.zoo.sources import WeightSource, weight_source

_log = logging.getLogger(__name__)


class LoadReport(typing.Protocol):
    """Report on a loaded file: a weight file's `ConversionReport` or an exported model's `Description`."""

    def summary(self) -> str:
        """Return a one-line summary."""

    def __str__(self) -> str: ...


class Model:
    """A recognizer with its weights, class names and preprocessing, in one framework or deployment runtime.

    Attributes:
        spec: the network's description.
        input: the pixel format it expects.
        labels: class names, or class numbers if the weights carry no names.
        session: the network in its framework, or the exported program in its runtime.
        report: what the file contained.
        meta: provenance of the weights, see `Checkpoint`.
        calibration: turns logits into probabilities and predicted classes; see `trishift calibrate`.

    Args:
        checkpoint: the model's description; its tensors are not read.
        session: runs the model.
        report: what the file contained.

    Raises:
        CheckpointError: the checkpoint has no classification head.

    Example:
        >>> model = trishift.load("model.safetensors")
        >>> model.spec.num_segments, model.input.crop
        (4, 32)
        >>> model.labels[:2]
        ('No gesture', 'Swiping Down')
    """

    def __init__(self, checkpoint: Checkpoint, session: Predictor, report: LoadReport) -> None:
        self.spec, self.input = checkpoint.require_model()
        self.labels: tuple[str, ...] = checkpoint.labels or tuple(str(i) for i in range(self.spec.num_classes))
        self.session, self.report = session, report
        self.meta = checkpoint.meta
        self.calibration = stored_calibration(checkpoint.meta, self.spec)

    @property
    def thresholds(self) -> np.ndarray | None:
        """(K,) least probability of a predicted class; None: the most likely class is always predicted."""
        return self.calibration.thresholds

    def set_thresholds(self, text: str) -> None:
        """Replace the thresholds by one number for all classes, or by those in an evaluation's result.json.

        Raises:
            DataError: `text` is neither.
        """
        self.calibration = self.calibration.with_thresholds(text, self.spec.num_classes)

    def discard_calibration(self) -> None:
        """Return to the probabilities and thresholds from before `trishift calibrate`."""
        self.calibration = stored_calibration(self.meta, self.spec, raw=True)

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        """Logits (N, K) of clips (N, T, C, H, W), normalized float32 (see `input`).

        Example:
            >>> model = trishift.load("model.safetensors")
            >>> clips = np.zeros((2, 4, 3, 32, 32), np.float32)  # two clips of four RGB frames
            >>> model(clips).shape
            (2, 9)
        """
        return self.session.predict(np.asarray(clips, np.float32), prediction_relations(self.spec))

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is an iterable, too
        self, clips: Clip, top_k: int = 5, protocol: Protocol | None = None
    ) -> Prediction: ...
    @overload
    def predict(
        self,
        clips: Iterable[Clip],
        top_k: int = 5,
        protocol: Protocol | None = None,
        *,
        batch_size: int = 8,
        workers: int = 2,
        misses: list[Miss] | None = None,
    ) -> Iterator[Prediction]: ...
    def predict(
        self,
        clips: Clip | Iterable[Clip],
        top_k: int = 5,
        protocol: Protocol | None = None,
        *,
        batch_size: int = 8,
        workers: int = 2,
        misses: list[Miss] | None = None,
    ) -> Prediction | Iterator[Prediction]:
        """Predict the classes of a clip, or of each of several clips as they come.

        A clip is a video file or frame folder, the address of a video, the bytes of a video file, or frames:
        (T, H, W, 3) uint8 RGB. Its prediction is the list of likeliest classes, [(label, probability), ...], and
        has all scores. Models with thresholds list every predicted class, even if there are more than `top_k`.

        Args:
            clips: one clip, or an iterable of clips, which may be endless: a few batches are held at a time.
            top_k: classes in the list.
            protocol: clips and crops; default: one clip, center crop.
            batch_size: clips per batch and views per forward pass.
            workers: threads that read clips.
            misses: of an iterable, where clips that cannot be read are added; None: the first one is an error.

        Returns:
            The prediction, or for an iterable an iterator of predictions, in order.

        Raises:
            DataError: a clip cannot be read, or `clips` is neither a clip nor an iterable.
            RecipeError: `top_k` or `batch_size` is not positive.

        Example:
            >>> model = trishift.load("model.safetensors")
            >>> for label, probability in model.predict("clip.mp4", top_k=2):
            ...     print(f"{label}: {probability:.0%}")
            Swiping Left: 80%
            Swiping Right: 10%
            >>> frames = np.zeros((16, 48, 64, 3), np.uint8)
            >>> [prediction.name for prediction in model.predict(["clip.mp4", frames])]
            ['clip.mp4', 'clip 1']
        """
        for name, value in (("top_k", top_k), ("batch_size", batch_size)):
            if value < 1:
                raise RecipeError(f"{name} must be 1 or more, not {value}")
        protocol = protocol or Protocol()

        def predict(given: Sequence[Path | np.ndarray], names: Sequence[str]) -> Iterator[Results]:
            dataset = GivenSet(given, names, ClipReader(self.input, self.spec), protocol)
            return self._predict(dataset, batch_size, workers)

        several = predict_clips(clips_in(clips), predict, batch_size, misses)
        predictions = (replace(each, top_k=top_k) for each in several)
        return next(predictions) if is_clip(clips) else predictions

    def predict_batches(
        self,
        clips: ClipList,
        protocol: Protocol | None = None,
        *,
        batch_size: int = 8,
        workers: int = 2,
        template: str | None = None,
        only: Sequence[int] | np.ndarray | None = None,
    ) -> Iterator[Results]:
        """Predict the videos and frame folders of a list.

        Args:
            clips: the list.
            protocol: clips and crops; default: one clip, center crop.
            batch_size: videos per batch and views per forward pass.
            workers: threads or processes that read clips.
            template: file name of a frame in frame folders, see `FrameFolder`; None: detected.
            only: indices of the clips to predict, ascending; None: all.

        Yields:
            The results of each batch as soon as they are known, in the order of the list: the index of each video, and
            its prediction, or a `Miss` if it cannot be read.
        """
        dataset = unlabeled_set(clips, self.input, self.spec, protocol or Protocol(), template)
        return self._predict(dataset, batch_size, workers, only)

    def _predict(
        self, dataset: EvaluationSet, batch_size: int, workers: int, only: Sequence[int] | np.ndarray | None = None
    ) -> Iterator[Results]:
        sizes = {"batch_size": batch_size, "workers": workers}
        return predict_batches(self.session, dataset, self.labels, self.calibration, **sizes, only=only)

    def features(self, clips: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
        """Return activations of named layers (`layer1`, ..., `pooled`, `logits`), with a frame axis: (N, T, ...).

        Example:
            >>> model = trishift.load("model.safetensors")
            >>> clips = np.zeros((2, 4, 3, 32, 32), np.float32)
            >>> model.features(clips, ["pooled"])["pooled"].shape  # one vector per frame
            (2, 4, 64)
        """
        return self.session.features(np.asarray(clips, np.float32), layers)

    def stream(self) -> Stream:
        """Open a stream over one or more videos, one frame per step: `stream.step(frame)`, (N, 3, H, W) to (N, K).

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

    def timeline(
        self,
        video: str | Path | Source,
        window: float | None = None,
        hop: float | None = None,
        protocol: Protocol | None = None,
        *,
        batch_size: int = 8,
    ) -> Timeline:
        """Classify the windows of a video of any length, in one pass over its frames: an iterable of `Moment`s.

        A video that is one window has the logits of `predict`. `streaming.events.find_events` joins windows to events.

        Args:
            video: a video, a frame folder, a part of either, the number of a camera, a URL, or an opened source.
            window: seconds per window; None: as long as the clips that the model was trained on.
            hop: seconds from one window to the next; None: a quarter of a window.
            protocol: clips and crops per window; default: one clip, center crop.
            batch_size: windows and views per forward pass.

        Raises:
            RecipeError: `window` or `hop` is not positive, or `hop` exceeds `window`.
            DataError: the video cannot be read; raised during iteration.

        Example:
            >>> model = trishift.load("model.safetensors")
            >>> for moment in model.timeline("clip.mp4", window=1, hop=0.5):
            ...     print(f"{moment.start:.1f} s: {model.labels[moment.probabilities.argmax()]}")
            0.0 s: Swiping Left
            0.4 s: Swiping Left
        """
        length, hop, notes = window_lengths(self.meta, window, hop)
        flow = self.input.modality == "flow"
        source = video if isinstance(video, Source) else open_source(str(video), flow=flow)
        return Timeline(self.session, self.input, source, length, hop, protocol, batch_size, notes, self.calibration)


def list_models(*patterns: str, data: str | None = None) -> list[str]:
    """List the names of published weights, which `load`, `convert` and the commands take in place of a file.

    Args:
        patterns: `tsm*`; default: all names.
        data: data set, such as `kinetics400`.

    Raises:
        CheckpointError: the data set, or a pattern without wildcards, is unknown.

    Example:
        >>> import trishift
        >>> trishift.list_models("tsm-r50-*f-k400")
        ['tsm-r50-8f-k400', 'tsm-r50-16f-k400']
    """
    return [entry.name for entry in matching(patterns, data)]


def convert(source: str | Path | WeightSource, destination: str | Path, **options: Any) -> Conversion:
    """Convert a weight file. The suffix of `destination` chooses its format; `.safetensors` runs in all frameworks.

    Args:
        source: a file of any supported family, a published name (see `list_models`), or an address.
        destination: new file.
        options: `framework`, `to_dialect`, `verify`, `force` and others, see `checkpoints.convert`.

    Raises:
        CheckpointError: the source cannot be fetched or imported, the destination exists, or results differ.
        FrameworkError: a framework needed for verification is missing.

    Example:
        >>> import trishift
        >>> conversion = trishift.convert("model.safetensors", "model.pth", framework="pytorch")
        >>> conversion.checkpoint.spec.num_classes
        9
        >>> trishift.load("model.pth").labels[0]
        'No gesture'
    """
    weights = weight_source(source)
    weights.check()
    check_destination(Path(destination), options.get("framework"), options.get("force", False))
    return convert_file(weights.fetch(), destination, **options)


def load(
    path: str | Path | WeightSource,
    framework: str = "pytorch",
    *,
    execution: Execution | None = None,
    runtime: str | None = None,
    strict: bool = False,
    say: Callable[[str], object] = _log.info,
    **options: Any,
) -> Model:
    """Load weights of any supported family and file format, or an exported model.

    Args:
        path: a canonical `.safetensors`, a run folder (for its best weights), or a foreign file, whose family is
            recognized by names and shapes. Or an exported file or folder (`.onnx`, `.mindir`, `.pt2`, `.paddle`,
            `.openvino-int8`). Or a published name (see `list_models`) or an address (`https://...`, `hf://owner/repo`),
            whose file is downloaded once.
        framework: `pytorch`, `mindspore` or `paddle`; ignored for an exported model.
        execution: device, precision and other execution settings; default: the CPU, in its faster memory format.
        runtime: None or `auto`: the fastest exact form, which is an exported model in its format's first runtime, and
            weights in their framework, fused where it can do that (see `backends.fast_forms`). `native`: weights in
            the framework as is. `compiled`: weights, compiled by the framework. `onnxruntime`, `openvino`, ...: an
            exported model in this runtime, or the program of weights, made and verified on first use.
        strict: raise an error if the form of the model that was asked for cannot be made, or lacks the precision;
            otherwise a warning says why, and weights predict in their framework.
        say: called with lines about programs that are made, and about the agreement of lower precision with fp32.
        options: properties that names cannot determine: `num_segments=16`, `relations="all"`, `dialect="tsm"`, ...

    Raises:
        CheckpointError: unreadable, not recognized, or ambiguous (the message names the option to set).
        FrameworkError: the framework or the device is not available.

    Example:
        >>> import trishift
        >>> model = trishift.load("model.safetensors", framework="pytorch")
        >>> model.spec.backbone
        'resnet10'
        >>> [(label, probability)] = model.predict("clip.mp4", top_k=1)
        >>> label
        'Swiping Left'
    """
    source = weight_source(path)
    choice = Choice(framework, runtime_named(runtime or "auto"), execution or Execution(), strict, say)
    if source.local is not None and is_exported(source.local):
        model = _load_exported(source.local, choice, options)
    else:
        choice.check()
        checkpoint, report = import_weights(source.fetch(), **options)
        checkpoint.require_model()
        model = Model(checkpoint, weights_predictor(checkpoint, choice), report)
    _log.info("%s", model.report)
    return model


def _load_exported(path: Path, choice: Choice, options: Mapping[str, Any]) -> Model:
    if options:
        raise CheckpointError(
            f"{path}: {next(iter(options))} is fixed in an exported model; export it again to change it"
        )
    predictor, description = exported_predictor(path, choice)
    return Model(replace(description.checkpoint, input=description.input), predictor, description)
