"""Classify the windows of a video of any length, from a single pass over its frames.

Every window is sampled, cropped and classified like a clip of its frames alone, so a video that is one window has the
logits of `infer`, bit for bit. Each frame is converted once, and only if a window samples it. Models without temporal
layers before the head (TSN, TRN) also compute the features of a segment once for all windows that contain it; the
logits are then the same up to rounding.

Shape legend: N windows, V views, T segments, C channels, H x W pixels, F feature channels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from trishift.backends.contract import Predictor
from trishift.checkpoints.canonical import WINDOW
from trishift.data.protocol import Protocol
from trishift.data.sampling import evaluation_clips
from trishift.data.transforms import evaluation_crops, normalize, stack_segments, view_size
from trishift.evaluation.calibration import Calibration
from trishift.io.wording import counted
from trishift.model.online import frames_are_independent
from trishift.model.pixels import segment_length
from trishift.model.relations import prediction_relations
from trishift.model.spec import InputSpec
from trishift.streaming.reader import NewestFrames
from trishift.streaming.source import Frame, Source
from trishift.streaming.windows import HeldFrame, Window, check_lengths, slide

_ASSUMED_WINDOW = 2.5  # seconds
_HOPS_PER_WINDOW = 4
_LIVE_BACKLOG = 256  # frames that wait while the model is busy

Segment = tuple[int, ...]  # numbers of its frames in the video


@dataclass(frozen=True)
class Moment:
    """A classified window.

    Attributes:
        index: number of the window, from 0.
        start, end: seconds since the video's first frame; the end is not included.
        logits: (K,) float32, averaged over views.
        probabilities: (K,) float64; with several labels per video, those of independent classes.
    """

    index: int
    start: float
    end: float
    logits: np.ndarray
    probabilities: np.ndarray


def stored_window(meta: Mapping[str, Any]) -> float | None:
    """Seconds per window in a checkpoint's metadata: the median length of the clips it was trained on."""
    value = meta.get(WINDOW)
    return None if value is None else float(value)


def window_lengths(
    meta: Mapping[str, Any], window: float | None, hop: float | None, option: str = "--window"
) -> tuple[float, float, list[str]]:
    """Seconds per window and from one to the next, with a note about what is assumed.

    Args:
        meta: the checkpoint's metadata.
        window: the user's choice; None: that of the checkpoint.
        hop: the user's choice; None: a quarter of a window.
        option: the option that sets `window`, for messages.

    Raises:
        RecipeError: a length is not positive, or `hop` exceeds `window`.
    """
    notes = []
    length = window if window is not None else stored_window(meta)
    if length is None:
        length = _ASSUMED_WINDOW
        notes.append(
            f"windows of {length:g} s are assumed, as the weights do not record how long the training clips are; "
            f"set {option} to their usual length"
        )
    hop = length / _HOPS_PER_WINDOW if hop is None else hop
    check_lengths(length, hop, option)
    return length, hop, notes


class Timeline:
    """The classified windows of a source.

    Args:
        predictor: the model.
        input_spec: input format of the model.
        source: frames; the optical flow of a `Recording` for flow models.
        length: seconds per window.
        hop: seconds from one window to the next.
        protocol: clips and crops per window; default: one clip, center crop.
        batch_size: windows and views per forward pass; live sources are classified window by window.
        notes: what was assumed so far.
        calibration: turns logits into probabilities; default: no calibration.

    Attributes:
        source, length, hop, protocol, calibration: as above.
        batch_size: likewise; 1 for live sources.
        end: seconds at which the last window ended.
        used, computed: segments whose features were needed, and computed; 0 if the model cannot share them.
        dropped: frames of a live source that were lost while the model was busy.

    Raises:
        RecipeError: a length is not positive, `hop` exceeds `length`, or the protocol's sampling takes single frames
            and the model several per segment.
    """

    def __init__(
        self,
        predictor: Predictor,
        input_spec: InputSpec,
        source: Source,
        length: float,
        hop: float,
        protocol: Protocol | None = None,
        batch_size: int = 8,
        notes: Sequence[str] = (),
        calibration: Calibration | None = None,
    ) -> None:
        check_lengths(length, hop)
        self.protocol = protocol or Protocol()
        self._notes, self.end, self._without_frames = list(notes), 0.0, 0
        self.source, self.length, self.hop = source, length, hop
        self.batch_size = 1 if source.live else batch_size
        self._scorer = WindowScorer(predictor, input_spec, self.protocol, batch_size)
        self.calibration = calibration or Calibration(predictor.spec.multi_label)
        self._reader: NewestFrames | None = None

    @property
    def used(self) -> int:
        """Segments whose features were needed, counted once per window and view."""
        return self._scorer.used

    @property
    def computed(self) -> int:
        """Segments whose features were computed."""
        return self._scorer.computed

    @property
    def dropped(self) -> int:
        """Frames of a live source that were lost."""
        return 0 if self._reader is None else self._reader.dropped

    def __iter__(self) -> Iterator[Moment]:
        """Classify all windows, see `moments`."""
        return self.moments()

    def notes(self) -> list[str]:
        """What was assumed, skipped or lost; complete after the last window."""
        found = [*self._notes, *self.source.notes()]
        if self._without_frames:
            count = counted(self._without_frames, "window has", "windows have")
            found.append(f"{self.source.name}: {count} no frames (a gap in its time stamps) and were skipped")
        if self.dropped:
            count = counted(self.dropped, "frame was", "frames were")
            found.append(f"{self.source.name}: {count} dropped, as the model is slower than the source")
        return found

    def moments(self, start: int = 0, without_frames: int = 0) -> Iterator[Moment]:
        """Classify the windows in order.

        Args:
            start: number of the first window to classify; frames before it are skipped, if the source can seek.
            without_frames: number of windows before it that had no frames, for the notes.

        Raises:
            DataError: the source cannot be read, or a window does not fit into memory.
        """
        self._without_frames = without_frames
        held = (HeldFrame(frame, self._scorer.crop) for frame in self._frames(start))
        windows = (window for window in slide(held, self.length, self.hop) if window.index >= start)
        for batch in _batches(self._watched(windows, start), self.batch_size):
            logits = self._scorer.logits(batch, self.source.fps)
            probabilities = self.calibration.probabilities(logits)
            for window, row, scores in zip(batch, logits, probabilities, strict=True):
                yield Moment(window.index, window.start, window.end, row, scores)

    def _watched(self, windows: Iterable[Window], expected: int) -> Iterator[Window]:
        """Keep account of the windows, of which the first should be number `expected`."""
        for window in windows:
            self._without_frames += window.index - expected
            expected, self.end = window.index + 1, window.end
            yield window

    def _frames(self, start: int) -> Iterable[Frame]:
        """All frames of the windows from `start` on; the last one of a video may begin up to a hop before its time."""
        if not self.source.live:
            return self.source.frames_from(max(0, start - 1) * self.hop)
        self._reader = NewestFrames(self.source.frames(), keep=_LIVE_BACKLOG)
        return self._reader


def _batches(windows: Iterable[Window], size: int) -> Iterator[list[Window]]:
    """Group windows by their numbers, so that a resumed timeline has the batches of an unbroken one."""
    if size == 1:  # groupby would wait for the next window
        yield from ([window] for window in windows)
        return
    for _, batch in groupby(windows, lambda window: window.index // size):
        yield list(batch)


class WindowScorer:
    """Logits of windows.

    Args:
        predictor: the model.
        input_spec: input format of the model.
        protocol: clips and crops per window.
        batch_size: views per forward pass.

    Attributes:
        used, computed: segments whose features were needed, and computed; 0 if the model cannot share them.

    Raises:
        RecipeError: the protocol's sampling takes single frames, and the model several per segment.
    """

    def __init__(self, predictor: Predictor, input_spec: InputSpec, protocol: Protocol, batch_size: int) -> None:
        self._predictor, self._input, self._protocol = predictor, input_spec, protocol
        self._batch_size = batch_size
        spec = predictor.spec
        self._length = segment_length(input_spec.modality, spec.in_channels)
        self._relations = prediction_relations(spec)
        self._shares = predictor.has_layers and frames_are_independent(spec)
        size = view_size(input_spec, protocol.full_resolution)
        self._clip_shape = (protocol.num_views, spec.num_segments, spec.in_channels, *size)
        self._features: dict[Segment, np.ndarray] = {}  # (crops, F)
        self.used = self.computed = 0
        self._numbers(1, 0, None)  # refuses a sampling that does not fit the model

    def crop(self, picture: np.ndarray) -> np.ndarray:
        """The pixels of a picture's views: (H, W, F) to (crops, H', W', F), uint8."""
        crops = evaluation_crops(picture[None], self._input, self._protocol.crops, self._protocol.full_resolution)
        return np.concatenate(crops)

    def logits(self, windows: Sequence[Window], fps: float | None) -> np.ndarray:
        """(N, K) float32, averaged over views."""
        numbers = [self._numbers(len(window.frames), window.index, fps) for window in windows]
        if self._shares and not windows[0].is_whole:
            rows = self._by_features(windows, numbers)
        else:
            rows = self._by_clips(windows, numbers)
        return rows.reshape(len(windows), -1, rows.shape[-1]).mean(axis=1)

    def _numbers(self, count: int, index: int, fps: float | None) -> np.ndarray:
        """Sampled frames of a window of `count` frames: (clips, T, length)."""
        spec, rng = self._predictor.spec, np.random.default_rng((0, index))
        sampling = self._protocol.sampling
        clips = evaluation_clips(sampling, count, spec.num_segments, self._length, rng=rng, fps=fps)
        return clips.reshape(len(clips), spec.num_segments, self._length)

    def _by_clips(self, windows: Sequence[Window], numbers: Sequence[np.ndarray]) -> np.ndarray:
        """Logits (N * V, K) of whole clips."""
        clips = np.concatenate(
            [self._clips(window, chosen) for window, chosen in zip(windows, numbers, strict=True)]
        )  # (N * V, T, C, H, W)
        return self._in_pieces(clips, lambda piece: self._predictor.predict(piece, self._relations))

    def _clips(self, window: Window, numbers: np.ndarray) -> np.ndarray:
        pixels = np.stack([window.frames[number].pixels for number in numbers.flat], axis=1)
        views = np.stack([normalize(view, self._input) for view in pixels])  # (crops, clips * T * length, F, H, W)
        return stack_segments(views, self._input, self._length).reshape(self._clip_shape)

    def _by_features(self, windows: Sequence[Window], numbers: Sequence[np.ndarray]) -> np.ndarray:
        """Logits (N * V, K) from the features of segments, each computed once."""
        parts: dict[Segment, list[HeldFrame]] = {}
        segments = []
        for window, chosen in zip(windows, numbers, strict=True):
            rows = chosen.reshape(-1, self._length).tolist()
            keys = [tuple(window.frames[number].number for number in row) for row in rows]
            parts |= {key: [window.frames[number] for number in row] for key, row in zip(keys, rows, strict=True)}
            segments.append(keys)
        self._compute({key: frames for key, frames in parts.items() if key not in self._features})
        self.used += sum(map(len, segments))
        features = np.stack([np.stack([self._features[key] for key in keys], axis=1) for keys in segments])
        oldest = windows[-1].frames[0].number
        self._features = {key: value for key, value in self._features.items() if key[0] >= oldest}
        clips = features.reshape(-1, self._predictor.spec.num_segments, features.shape[-1])  # (N * V, T, F)
        return self._in_pieces(clips, lambda piece: self._predictor.classify(piece, self._relations))

    def _compute(self, segments: Mapping[Segment, Sequence[HeldFrame]]) -> None:
        """Compute the features of segments, packed into clips: the order does not matter to these models."""
        if not segments:
            return
        self.computed += len(segments)
        pixels = np.stack([np.stack([frame.pixels for frame in frames], axis=1) for frames in segments.values()])
        count, crops, length, *picture = pixels.shape
        normal = normalize(pixels.reshape(count * crops * length, *picture), self._input)
        images = stack_segments(normal.reshape(count * crops, length, *normal.shape[1:]), self._input, length)[:, 0]
        per_clip = self._predictor.spec.num_segments
        padding = np.repeat(images[-1:], -len(images) % per_clip, axis=0)
        clips = np.concatenate([images, padding]).reshape(-1, per_clip, *images.shape[1:])
        pooled = self._in_pieces(clips, lambda piece: self._predictor.features(piece, ["pooled"])["pooled"])
        rows = pooled.reshape(-1, pooled.shape[-1])[: len(images)].reshape(count, crops, -1)
        self._features.update(zip(segments, rows, strict=True))

    def _in_pieces(self, clips: np.ndarray, compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        size = self._batch_size
        return np.concatenate([compute(clips[start : start + size]) for start in range(0, len(clips), size)])
