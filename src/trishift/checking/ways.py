"""Run one clip through every way of running a model, and compare each with training's reader and the weights."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from trishift.api import Model, load
from trishift.backends import FRAMEWORKS, MODULES
from trishift.checking.agreement import Agreement, Way, first_parting
from trishift.checking.network import name_network_change, spec_changes
from trishift.checking.pixels import Video, name_changes
from trishift.checking.running import in_process
from trishift.checking.trace import Gap, Recorder, fingerprint, gap
from trishift.checkpoints.canonical import Checkpoint
from trishift.checkpoints.verification import TOLERANCE
from trishift.data.clip_reader import ClipReader
from trishift.data.dataset import EvaluationSet
from trishift.data.lists import VideoRecord
from trishift.data.opencv import import_opencv
from trishift.data.parts import split_part
from trishift.data.protocol import Protocol
from trishift.data.sampling import evaluation_clips
from trishift.data.sources import FrameRange
from trishift.data.stages import PIXEL_STAGES, Pixels
from trishift.errors import CheckpointError, DataError, RecipeError, TrishiftError
from trishift.evaluation.evaluator import evaluate
from trishift.export.formats import RUNTIMES
from trishift.export.opening import describe, is_exported
from trishift.io.processes import server
from trishift.io.regular import is_dir
from trishift.io.wording import one_of
from trishift.model.relations import prediction_relations
from trishift.recipe import recipe_from_dict
from trishift.streaming.sources import open_source
from trishift.streaming.stream import Stream
from trishift.zoo.sources import WeightSource, weight_source

_WHOLE = 1e6  # seconds: a window that holds every clip
_PROGRAMS = tuple(name for name in RUNTIMES if name not in FRAMEWORKS)
_COMMANDS = ("eval", "infer", "stream", "timeline")
WAYS = (*_COMMANDS, "opencv", *FRAMEWORKS, *_PROGRAMS)
_Arrays = dict[str, np.ndarray]


def check(
    clip: str | Path,
    weights: str | Path | WeightSource,
    *,
    framework: str = "pytorch",
    against: Sequence[str | Path] = (),
    frames: np.ndarray | None = None,
    predict: Callable[[np.ndarray], np.ndarray] | None = None,
    only: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
    template: str | None = None,
    say: Callable[[str], object] = lambda text: None,
    **options: Any,
) -> Agreement:
    """Run one clip through all ways of running a model, and name the first stage at which numbers part.

    The expected numbers are those of training's reader (one center crop per clip of the recipe's sampling) and of the
    weights in `framework`.

    Args:
        clip: a video or a frame folder.
        weights: a weight file of any supported family, a run folder, a published name or an address.
        framework: computes the expected numbers.
        against: exported models.
        frames: your own pixels: (F, H, W, 3) uint8 RGB as decoded, resized or cropped; or the network's input,
            (F, C, H, W) or (N, T, C, H, W) float32.
        predict: your own network: clips (N, T, C, H, W) float32 to logits (N, K).
        only: names among `WAYS`; None: all.
        tolerance: largest relative difference of features, logits and probabilities.
        template: file name of a frame in a frame folder; None: detected.
        say: called with one line per way.
        options: properties that names cannot determine, see `trishift.load`.

    Raises:
        CheckpointError: the weights cannot be read, or are an exported model.
        DataError: the clip cannot be read, or `frames` has no usable shape.
        FrameworkError: the framework is not installed.
        RecipeError: `only` names an unknown way.

    Example:
        >>> import trishift
        >>> agreement = trishift.check("clip.mp4", "model.safetensors", only=["eval", "infer"])
        >>> agreement.agrees
        True
        >>> frames = np.zeros((4, 32, 32, 3), np.uint8)  # your own reader's
        >>> trishift.check("clip.mp4", "model.safetensors", only=[], frames=frames).ways[0].parts_at
        'frames'
    """
    chosen = WAYS if only is None else tuple(only)
    for name in chosen:
        if name not in WAYS:
            raise RecipeError(f"way {name!r} is unknown{one_of(name, WAYS)}")
    source = weight_source(weights)
    if source.local is not None and is_exported(source.local):
        raise CheckpointError(
            f"{source}: is an exported model; give the weights it was made from, and the exported model as `against`"
        )
    for export in against:
        describe(Path(export))  # refuses what is none before the work
    path = source.fetch()
    model = load(path, framework, runtime="native", **options)
    reference = _Reference(Path(clip), path, model, framework, template, tolerance, options)
    checks: dict[str, Callable[[], Way]] = {name: partial(getattr(reference, f"by_{name}"), name) for name in _COMMANDS}
    checks["opencv"] = partial(reference.by_opencv, "opencv")
    checks |= {name: partial(reference.by_framework, name) for name in (*FRAMEWORKS, *_PROGRAMS)}
    picked: dict[str, Callable[[], Way]] = {name: checks[name] for name in chosen}
    picked |= {str(path): partial(reference.by_export, str(path), Path(path)) for path in against}
    if frames is not None:
        picked["frames"] = partial(reference.by_pixels, "frames", reference.staged(np.asarray(frames)))
    if predict is not None:
        picked["predict"] = partial(reference.by_network, "predict", predict)
    ways = []
    for name, run in picked.items():
        say(f"checking {name}")
        try:
            ways.append(run())
        except TrishiftError as error:
            if name not in WAYS:  # the caller's own, which cannot be left out
                raise
            ways.append(Way(name, skipped=str(error)))
    return reference.agreement(ways)


@dataclass(frozen=True)
class _Reference:
    """The expected arrays of a clip, and the ways that are compared with them."""

    clip: Path
    weights: Path
    model: Model
    framework: str
    template: str | None
    tolerance: float
    options: Mapping[str, Any]

    # Expected

    @cached_property
    def protocol(self) -> Protocol:
        """One center crop, sampled as the recipe evaluates."""
        stored = self.model.meta.get("recipe")
        return Protocol(recipe_from_dict(stored, str(self.weights)).evaluation.sampling) if stored else Protocol()

    @cached_property
    def reader(self) -> ClipReader:
        """The reader of training and evaluation."""
        return ClipReader(self.model.input, self.model.spec, template=self.template)

    @cached_property
    def pixels(self) -> Pixels:
        """The model's pixels."""
        return Pixels(self.model.input, self.model.spec.in_channels)

    @cached_property
    def video(self) -> Video:
        """The clip's sampled frames, and access to others."""
        with self.reader.open(self.clip) as source:
            total = source.num_frames
            numbers = evaluation_clips(
                self.protocol.sampling, total, self.model.spec.num_segments, self.pixels.length,
                rng=np.random.default_rng((0, 0)), fps=source.fps,
            )  # fmt: skip
        return Video(numbers.reshape(-1), self._read, total)

    def _read(self, numbers: np.ndarray) -> np.ndarray:
        with self.reader.open(self.clip) as source:
            return source.read(numbers)

    @cached_property
    def expected(self) -> _Arrays:
        """All stages."""
        session, spec = self.model.session, self.model.spec
        arrays = self.pixels.trace(self._read(self.video.numbers), spec.num_segments)
        clips = arrays["normalization"]
        session.check_clips(clips.shape)
        arrays["weights"] = fingerprint(session.dump_tensors())  # type: ignore[attr-defined]
        arrays["features"] = session.features(clips, ["pooled"])["pooled"]
        return arrays | self._scores(self._logits(session.predict(clips, prediction_relations(spec))))

    def _logits(self, rows: np.ndarray) -> np.ndarray:
        mean: np.ndarray = np.asarray(rows, np.float32).mean(axis=0)
        return mean

    def _scores(self, logits: np.ndarray) -> _Arrays:
        return {"logits": logits, "probabilities": self.model.calibration.probabilities(logits)}

    def _gaps(self, arrays: _Arrays) -> dict[str, Gap]:
        return {
            stage: gap(stage, array, self.expected[stage], self.pixels, self.tolerance)
            for stage, array in arrays.items()
        }

    def agreement(self, ways: Sequence[Way]) -> Agreement:
        """The result."""
        probabilities = self.expected["probabilities"]
        best = int(np.nanargmax(probabilities)) if np.isfinite(probabilities).any() else 0
        notes = []
        if self.protocol.sampling != Protocol().sampling:
            notes.append(
                f"frames are sampled as the recipe evaluates ({self.protocol}); without --protocol, infer and timeline "
                f"take {Protocol()}"
            )
        return Agreement(
            str(self.clip),
            str(self.weights),
            tuple(self.video.numbers.tolist()),
            self.model.labels[best],
            float(probabilities[best]),
            tuple(ways),
            tuple(notes),
        )

    # Ways

    def _recording(self) -> tuple[Model, Recorder]:
        model = copy.copy(self.model)
        model.session = recorder = Recorder(self.model.session)
        return model, recorder

    def by_eval(self, name: str) -> Way:
        """`trishift eval` on a list of one clip."""
        model, recorder = self._recording()
        records = [VideoRecord(self.clip, (0,), None, 1)]
        dataset = EvaluationSet(records, model.labels, self.reader, self.protocol)
        evaluation = evaluate(recorder, dataset, batch_size=64, workers=1)
        return self._way(name, {"normalization": recorder.clips} | self._scores(evaluation.scores[0]))

    def by_infer(self, name: str) -> Way:
        """`trishift infer`."""
        model, recorder = self._recording()
        scores = {"probabilities": model.predict(self.clip, protocol=self.protocol).scores}
        logits = self._logits(recorder.logits)
        return self._way(name, {"normalization": recorder.clips, "logits": logits} | scores)

    def by_timeline(self, name: str) -> Way:
        """`trishift timeline` with one window."""
        model, recorder = self._recording()
        source = open_source(str(self.clip), template=self.template, flow=model.input.modality == "flow")
        moments = list(model.timeline(source, _WHOLE, _WHOLE, self.protocol))
        scores = {"logits": moments[0].logits, "probabilities": moments[0].probabilities}
        return self._way(name, {"normalization": recorder.clips} | scores)

    def by_stream(self, name: str) -> Way:
        """`trishift stream` on the sampled frames: the mean over its steps."""
        stream = Stream(self.model.session, self.model.input)
        if len(self.expected["normalization"]) > 1:
            raise RecipeError(f"the recipe samples {len(self.expected['normalization'])} clips, a stream has one")
        logits = np.mean([stream.step_image(image) for image in self._read(self.video.numbers)], axis=0)
        return self._way(name, self._scores(logits))

    def by_framework(self, name: str) -> Way:
        """The weights in a framework, or their program in a runtime, in a process of its own."""
        if importlib.util.find_spec(MODULES.get(name, name)) is None:
            return Way(name, skipped="not installed")
        make = partial(in_process, self.weights, name, dict(self.options), self.expected["normalization"])
        with server(make) as call:
            arrays = call()
        return self._way(name, arrays | self._scores(self._logits(arrays["logits"])))

    def by_opencv(self, name: str) -> Way:
        """Frames decoded by OpenCV."""
        cv2 = import_opencv("another decoder needs")
        file, _ = split_part(self.clip)
        if is_dir(file) or self.model.input.modality == "flow":
            return Way(name, skipped="decodes video files only")
        with self.reader.open(self.clip) as source:
            numbers = np.array(source.numbers) if isinstance(source, FrameRange) else np.arange(source.num_frames)
        capture, decoded, wanted = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG), {}, numbers[self.video.numbers]
        for number in range(int(wanted.max()) + 1):
            is_decoded, image = capture.read()
            if not is_decoded:
                break
            if number in wanted:
                decoded[number] = image[..., ::-1]
        capture.release()
        if len(decoded) < len(set(wanted.tolist())):
            missing = min(set(wanted.tolist()) - set(decoded))
            gaps = {"frames": Gap(np.inf, True)}
            return Way(name, gaps, (("frames", f"OpenCV decodes no frame {missing} of the file"),))
        return self.by_pixels(name, ("frames", np.stack([decoded[number] for number in wanted.tolist()])))

    def staged(self, array: np.ndarray) -> tuple[str, np.ndarray]:
        """The stage of pixels from elsewhere, by their shape, and the array in the shape of that stage.

        Raises:
            DataError: they fit no stage.
        """
        expected, count = self.expected, len(self.video.numbers)
        if array.dtype == np.uint8 and array.ndim == 4 and array.shape[-1] == expected["frames"].shape[-1]:
            sizes = [stage for stage in PIXEL_STAGES[:3] if expected[stage].shape[1:] == array.shape[1:]]
            stage = sizes[0] if sizes else "crop"
        elif array.dtype != np.uint8 and array.ndim in (4, 5) and array.shape[-3] == self.model.spec.in_channels:
            stage, array = "normalization", np.asarray(array, np.float32).reshape(-1, *array.shape[-3:])
            count //= self.pixels.length
        else:
            raise DataError(
                f"frames: {array.dtype} of shape {array.shape}; give pictures (F, H, W, 3) uint8 RGB, or the network's "
                f"input (F, {self.model.spec.in_channels}, H, W) float32"
            )
        if len(array) != count:
            raise DataError(f"frames: {len(array)} of them, but the model reads {count}; sample as many")
        if stage == "normalization":
            array = array.reshape(-1, self.model.spec.num_segments, *array.shape[1:])
        return stage, array

    def by_pixels(self, name: str, staged: tuple[str, np.ndarray]) -> Way:
        """Pixels from elsewhere at one stage, and what follows from them."""
        stage, array = staged
        spec, changes = self.model.spec, []
        if stage == "normalization":
            arrays = {stage: array}
        else:
            try:
                arrays = self.pixels.trace(array, spec.num_segments, stage)
            except ValueError:  # pictures smaller than the crop
                arrays = {stage: array}
        first = gap(stage, array, self.expected[stage], self.pixels, self.tolerance)
        if first.size > 0 and (array.shape[-1] == 3 or self.pixels.input.modality == "rgb"):
            planes = self.pixels.frames(array) if stage == "normalization" else array
            changes = name_changes(planes, stage, self.pixels, self.video)
        clips = arrays.get("normalization")
        if clips is not None and clips.shape == self.expected["normalization"].shape:
            logits = self.model.session.predict(clips, prediction_relations(spec))
            arrays |= self._scores(self._logits(logits))
        return Way(name, self._gaps(arrays), tuple(changes))

    def by_export(self, name: str, path: Path) -> Way:
        """An exported model, with the pixels that its description asks for."""
        described = describe(path)
        given = described.checkpoint
        assert given.input is not None and given.spec is not None
        own = Pixels(given.input.with_crop(described.program.size), given.spec.in_channels)
        changes = [change for change in spec_changes(given.spec, self.model.spec) if change[0] == "frames"]
        if changes:
            return Way(name, {}, tuple(changes))
        arrays = own.trace(self.expected["frames"], given.spec.num_segments)
        model = load(path)
        first = first_parting(self._gaps(arrays))
        if first is not None:
            staged = name_changes(own.frames(arrays["normalization"]), "normalization", self.pixels, self.video)
            changes = list(staged)
        raw = Pixels(described.input, given.spec.in_channels)
        inputs = raw.trace(arrays["crop"], given.spec.num_segments, "crop") if described.program.pixels else arrays
        logits = self._logits(model(inputs["normalization"]))
        gaps = self._gaps(arrays | self._scores(logits))
        if described.program.pixels:  # which return probabilities: their logits lack a constant
            gaps.pop("logits")
        if first is None and first_parting(gaps) is not None:
            changes = spec_changes(given.spec, self.model.spec) or self._explained(logits)
        note = "8-bit by design" if described.format.lossy and not changes else ""
        return Way(name, gaps, tuple(changes), note=note)

    def by_network(self, name: str, predict: Callable[[np.ndarray], np.ndarray]) -> Way:
        """A network from elsewhere on the expected input."""
        logits = self._logits(predict(self.expected["normalization"].copy()))
        gaps = self._gaps(self._scores(logits)) if logits.shape == self.expected["logits"].shape else {
            "logits": gap("logits", logits, self.expected["logits"], self.pixels, self.tolerance)
        }  # fmt: skip
        return Way(name, gaps, tuple(self._explained(logits) if first_parting(gaps) else ()))

    def _explained(self, logits: np.ndarray) -> list[tuple[str, str]]:
        tensors = self.model.session.dump_tensors()  # type: ignore[attr-defined]
        checkpoint = Checkpoint(tensors, self.model.spec, self.model.input)
        clips = self.expected["normalization"]
        return name_network_change(logits, clips, checkpoint, self.pixels, self.framework, self.tolerance)

    def _way(self, name: str, arrays: _Arrays) -> Way:
        """A way of our own, whose input has no other description than the numbers."""
        gaps = self._gaps(arrays)
        changes = []
        if first_parting(gaps) == "normalization":
            frames = self.pixels.frames(arrays["normalization"])
            changes = name_changes(frames, "normalization", self.pixels, self.video)
        return Way(name, gaps, tuple(changes))
