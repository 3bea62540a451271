"""Data sets of clips for training (one random view) and evaluation (the views of a protocol).

Shape legend: V views, T segments, C channels, H x W pixels.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from trishift.data.augmentation.timing import stretched_clip
from trishift.data.balance import balanced_order, check_balance
from trishift.data.classes import means_nothing
from trishift.data.clip_reader import ClipReader
from trishift.data.directions import check_reversal, mirrored_labels, reversed_labels
from trishift.data.lists import ClipList, VideoRecord
from trishift.data.parts import split_part
from trishift.data.protocol import Protocol
from trishift.data.sample import Problem, Sample, Target
from trishift.data.sampling import evaluation_clips
from trishift.data.spec import DataSpec, WorkerType
from trishift.data.transforms import evaluation_views, train_augmentation, view_size
from trishift.errors import DataError, named
from trishift.io.wording import counted
from trishift.model.pixels import Normalization
from trishift.model.spec import InputSpec

_LOG = logging.getLogger(__name__)
_REPLACEMENTS = 20  # consecutive unreadable clips before training stops


class ClipDataset(ABC):
    """Clips of a list; `load` is thread-safe and depends only on its arguments.

    Args:
        records: the list.
        labels: K class names; empty if unknown.
        reader: reads the clips.
        seed: random seed.

    Attributes:
        labels: K class names.
        multi_label: whether clips can have several labels.
        num_views: V.
        size: H and W.
        normalization: still to be applied to the clips, which are uint8; None if they are float32.
    """

    def __init__(
        self, records: Sequence[VideoRecord], labels: Sequence[str], reader: ClipReader, seed: int = 0
    ) -> None:
        self.labels = tuple(labels)
        self.multi_label = reader.model.multi_label
        self.num_views, self.size = 1, reader.input.crop_size
        self.normalization: Normalization | None = None
        self._records = records if isinstance(records, ClipList) else ClipList(records=records)
        self._reader, self._seed = reader, seed
        self._misses: dict[int, str] = {}
        self._examined: dict[int, tuple[int, float | None]] = {}  # frames, and frames per second
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._records)

    def keep(self, indices: Iterable[int]) -> None:
        """Keep only some clips, in the given order."""
        self._records = self._records.select(indices)

    def draw_order(self, rng: np.random.Generator) -> np.ndarray:
        """Draw the clips of an epoch in random order: (N,) indices."""
        return rng.permutation(np.arange(len(self)))

    @abstractmethod
    def load(self, index: int, epoch: int = 0, use: int = 0) -> Sample:
        """Read a clip.

        Args:
            index: number of the clip in the list.
            epoch: the epoch, from 0.
            use: number of earlier uses of the clip in this epoch.

        Raises:
            DataError: the clip cannot be read, and the dataset does not skip such clips.
        """

    @property
    def worker_type(self) -> WorkerType:
        """What reads the clips best, see `DataSpec`."""
        return self._reader.worker_type

    @property
    def input(self) -> InputSpec:
        """The format of the pixels."""
        return self._reader.input

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.labels)

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """(V, T, C, H, W) of every sample."""
        model = self._reader.model
        return (self.num_views, model.num_segments, model.in_channels, *self.size)

    @property
    def padding(self) -> Sample:
        """An invalid sample of the same shapes as all others."""
        pixels = np.float32 if self.normalization is None else np.uint8
        return Sample(np.zeros(self.clip_shape, pixels), self._encode(()), valid=False)

    def name(self, index: int) -> str:
        """The name of a clip, see `ClipList.name`."""
        return self._records.name(index)

    def videos(self) -> Iterator[str]:
        """Path of each clip's video as text, with the secrets of addresses."""
        return self._records.videos()

    def group(self, index: int) -> str:
        """Group of a clip: that of the list, else the video it is from."""
        group = self._records.group(index)
        return named(split_part(self._records.path(index))[0]) if group is None else group

    def target(self, index: int) -> Target:
        """Class of a clip, -1 if unlabeled; (K,) float32 of zeros and ones in multi-label sets."""
        return self._encode(self._records.labels[index])

    def _encode(self, labels: Sequence[int]) -> Target:
        if not self.multi_label:
            return np.int64(labels[0] if labels else -1)
        target = np.zeros(self.num_classes, np.float32)
        target[list(labels)] = 1
        return target

    def class_counts(self) -> np.ndarray:
        """(K,) int64, number of clips per class."""
        counts = np.zeros(self.num_classes, np.int64)
        for labels, count in self._records.label_counts().items():
            np.add.at(counts, list(labels), count)
        return counts

    @property
    def num_unlabeled(self) -> int:
        """Number of clips without a label."""
        return self._records.label_counts()[()]

    def misses(self) -> list[tuple[str, str]]:
        """(name, reason) of the clips that could not be read so far, in list order."""
        return [(self.name(index), reason) for index, reason in self.numbered_misses()]

    def numbered_misses(self) -> list[tuple[int, str]]:
        """(index, reason) of the clips that could not be read so far, in list order."""
        with self._lock:
            return sorted(self._misses.items())

    def take_miss(self, index: int) -> str:
        """The reason why a clip could not be read, which is then forgotten."""
        with self._lock:
            return self._misses.pop(index)

    def take_misses(self) -> dict[int, str]:
        """The reasons why clips could not be read since the last call, by index."""
        with self._lock:
            taken, self._misses = self._misses, {}
            return taken

    def add_misses(self, misses: Mapping[int, str]) -> None:
        """Add the misses of this data set's copy in another process."""
        with self._lock:
            self._misses.update(misses)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_lock": None, "_misses": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def examine(self, index: int) -> Problem | None:
        """Open a clip and compare its frame count with the list's, without reading frames."""
        record = self._records[index]
        try:
            with self._reader.open(record.path) as source:
                found, fps = source.num_frames, source.fps
        except DataError as error:
            return Problem(str(error), unreadable=True)
        with self._lock:
            self._examined[index] = found, fps
        if record.num_frames in (None, found):
            return None
        reason = f"{self.name(index)} has {counted(found, 'frame')}, but the list says {record.num_frames}"
        return Problem(reason, unreadable=False)

    def _record_miss(self, index: int, error: DataError) -> None:
        with self._lock:
            self._misses[index] = str(error)


class TrainingSet(ClipDataset):
    """Clips for training: one random view per clip, different in every epoch.

    Args:
        records: the list.
        labels: K class names.
        reader: reads the clips.
        data: determines sampling, augmentation and the replacement of unreadable clips.
        seed: random seed.

    Attributes:
        augmentation, balance: of the recipe.
        mirrored: K labels of mirrored clips, see `mirrored_labels`.
        reversed: K labels of clips that are played backward, see `reversed_labels`.

    Raises:
        DataError: clips would be reversed with a label that changes, or balanced although a class has none.
    """

    def __init__(
        self, records: Sequence[VideoRecord], labels: Sequence[str], reader: ClipReader, data: DataSpec, seed: int = 0
    ) -> None:
        super().__init__(records, labels, reader, seed)
        self._data = data
        self.augmentation, self.balance = data.augmentation, data.balance
        self.size = data.augmentation.clip_size(reader.input)
        if not data.augmentation.erasing.probability:  # which is done in normalized pixels
            self.normalization = reader.normalization
        self.mirrored = mirrored_labels(labels)
        self.reversed = reversed_labels(labels, data.augmentation.opposites)
        if self.augmentation.reverse == "same_labels":
            check_reversal(labels, self.reversed)
        if self.balance.by != "none":
            check_balance(labels, self.class_counts(), data.train_list)
        self._choose = partial(stretched_clip, speed=data.augmentation.speed)

    def draw_order(self, rng: np.random.Generator) -> np.ndarray:
        """Draw the clips of an epoch in random order, balanced if the recipe says so: (N,) indices."""
        if self.balance.by == "none":
            return super().draw_order(rng)
        return balanced_order(np.array([labels[0] for labels in self._records.labels]), self.balance, rng)

    def load(self, index: int, epoch: int = 0, use: int = 0) -> Sample:
        """Load a random view of a clip, or of a replacement if it cannot be read.

        Raises:
            DataError: the clip cannot be read and `on_error` is `fail`, or too many consecutive clips cannot be read.
        """
        rng = np.random.default_rng((self._seed, epoch, index, *([use] if use else [])))
        for _ in range(_REPLACEMENTS):
            try:
                return self._view(index, rng)
            except DataError as error:
                self._record_miss(index, error)
                if self._data.on_error == "fail":
                    raise DataError(f"{error}; or set data.on_error=skip to train without unreadable clips") from None
                index = int(rng.integers(len(self)))
        raise DataError(f"{_REPLACEMENTS} consecutive clips cannot be read; last: {self.misses()[-1][1]}")

    def usual_length(self) -> float | None:
        """Median seconds that a sampled clip spans; None if the frame rate is unknown.

        If the list has frame counts, all clips count, at the median rate of those examined so far; otherwise, these.
        Clips in which nothing happens do not count: they are as long as whoever cut them wanted.
        """
        rates = [fps for _, fps in self._examined.values() if fps]
        if not rates:
            return None
        sampling = self._data.sampling
        most = sampling.window if sampling.mode == "dense" else np.inf
        rate, frames = float(np.median(rates)), self._records.frame_counts()
        if frames is None:
            seconds = {index: min(found, most) / fps for index, (found, fps) in self._examined.items() if fps}
        else:
            seconds = dict(enumerate(np.minimum(frames, most) / rate))
        nothing = {number for number, label in enumerate(self.labels) if means_nothing(label)}
        of_actions = [seconds[index] for index in seconds if not nothing.issuperset(self._records.labels[index])]
        return round(float(np.median(of_actions or list(seconds.values()))), 3) or None

    def _view(self, index: int, rng: np.random.Generator) -> Sample:
        record, reader = self._records[index], self._reader
        frames = reader.read(record.path, self._choose, self._data.sampling, rng, self.augmentation.jitter)
        labels = record.labels
        if self.augmentation.reverse != "none" and rng.random() < 0.5:
            backward = [other for label in labels if (other := self.reversed[label]) is not None]
            if len(backward) == len(labels):
                frames, labels = frames[::-1], tuple(backward)
        clip, flipped = train_augmentation(frames, reader.input, rng, self.augmentation, self.normalization is not None)
        if flipped and self.augmentation.flip == "swap_labels":
            labels = tuple(self.mirrored[label] for label in labels)
        return Sample(reader.segments(clip)[None], self._encode(labels))


class EvaluationSet(ClipDataset):
    """Clips for evaluation, with or without labels: all views of a protocol. Unreadable clips count as misses.

    Args:
        records: the list.
        labels: K class names; empty if unknown.
        reader: reads the clips.
        protocol: determines the views.
        seed: random seed.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        labels: Sequence[str],
        reader: ClipReader,
        protocol: Protocol,
        seed: int = 0,
    ) -> None:
        super().__init__(records, labels, reader, seed)
        self.protocol = protocol
        self.num_views = protocol.num_views
        self.size = view_size(reader.input, protocol.full_resolution)

    def normalize_for(self, accepts: Callable[[Normalization], bool]) -> None:
        """Load uint8 clips if they can be normalized on the device; see `contract.Predictor.accept_pixels`."""
        rule = self._reader.normalization
        self.normalization = rule if rule is not None and accepts(rule) else None

    def load(self, index: int, epoch: int = 0, use: int = 0) -> Sample:
        """Load all views of a clip, the same in every epoch; returns an invalid sample if it cannot be read."""
        rng = np.random.default_rng((self._seed, index))
        protocol, reader = self.protocol, self._reader
        try:
            frames = self._frames(index, rng)
        except DataError as error:
            self._record_miss(index, error)
            return replace(self.padding, target=self.target(index))
        raw = self.normalization is not None
        views = evaluation_views(frames, reader.input, protocol.crops, protocol.full_resolution, raw)
        clips = reader.segments(views)  # (crops, clips * T, C, H, W)
        return Sample(clips.reshape(self.clip_shape), self.target(index))

    def _frames(self, index: int, rng: np.random.Generator) -> np.ndarray:
        """The sampled frames of a clip, see `ClipReader.read`."""
        return self._reader.read(self._records.path(index), evaluation_clips, self.protocol.sampling, rng)
