"""Clips of a list as normalized arrays: to learn from (one random view) or to score (the views of a protocol).

Shape legend: V views, T segments, C channels, H x W pixels.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from trishift.data.classes import are_named, class_order
from trishift.data.clip_reader import ClipReader
from trishift.data.lists import VideoRecord, read_labels, read_list
from trishift.data.parts import split_part
from trishift.data.protocol import Protocol
from trishift.data.sampling import SamplingSpec, evaluation_clips, training_clip
from trishift.data.transforms import (
    AugmentationSpec,
    evaluation_views,
    mirrored_labels,
    train_augmentation,
)
from trishift.errors import DataError, RecipeError
from trishift.model.spec import FORBID_UNKNOWN_KEYS, InputSpec, ModelSpec

_LOG = logging.getLogger(__name__)
Target = np.int64 | np.ndarray
_REPLACEMENTS = 20  # unreadable clips in a row before training gives up on its list


@dataclass(frozen=True)
class DataSpec:
    """Where the clips are and how they are read.

    Attributes:
        root: the data set's folder, which the next four paths are relative to; default: the current folder.
        clips: folder that the paths inside the lists are relative to; default: `root`, or without a root each
            list's own folder.
        train_list, val_list: lists of clips, see `lists.read_list`.
        labels: file of class names, see `lists.read_labels`; without one, classes are called by their numbers.
        template: file name of a frame in a frame folder (`img_{:05d}.jpg`), or of flow (`flow.picture_templates`); None
            finds it out.
        sampling: frames of a training clip.
        augmentation: crops and flips in training.
        on_error: an unreadable training clip either ends the run (`fail`) or is replaced by another one, counted
            and listed (`skip`). Evaluation never replaces: there it is a miss.
        cache: keep decoded frames in memory, for sets of small clips.
        workers: decoding threads.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    root: str | None = None
    clips: str | None = None
    train_list: str | None = None
    val_list: str | None = None
    labels: str | None = None
    template: str | None = None
    sampling: SamplingSpec = field(default_factory=SamplingSpec)
    augmentation: AugmentationSpec = field(default_factory=AugmentationSpec)
    on_error: Literal["fail", "skip"] = "fail"
    cache: bool = False
    workers: int = 2

    def path(self, name: str) -> Path:
        """A path of the recipe under `root`."""
        return Path(self.root or ".") / name

    @property
    def clips_folder(self) -> Path | None:
        """Where relative paths inside the lists start; None: in the list's folder."""
        return None if self.root is None and self.clips is None else self.path(self.clips or ".")


@dataclass(frozen=True)
class Sample:
    """One clip.

    Attributes:
        clips: (V, T, C, H, W) float32.
        target: class number (-1: unknown), or (K,) float32 of zeros and ones in multi-label sets.
        valid: whether the clip could be read; if not, its pixels are zero.
    """

    clips: np.ndarray
    target: Target
    valid: bool = True


@dataclass(frozen=True)
class Problem:
    """What is wrong with a clip.

    Attributes:
        reason: one line that names the clip.
        unreadable: whether it cannot be read at all.
    """

    reason: str
    unreadable: bool


class ClipDataset(ABC):
    """Clips of a list; `load` is thread-safe and depends on nothing but its arguments.

    Args:
        records: the list.
        labels: K class names; none where nothing is known about the clips.
        reader: reads them.
        seed: of everything random.

    Attributes:
        num_views: V.
        side: H and W.
    """

    def __init__(
        self, records: Sequence[VideoRecord], labels: Sequence[str], reader: ClipReader, seed: int = 0
    ) -> None:
        self.labels = tuple(labels)
        self.multi_label = reader.model.multi_label
        self.num_views, self.side = 1, reader.input.crop
        self._records, self._reader, self._seed = list(records), reader, seed
        self._misses: dict[int, str] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._records)

    def keep(self, indices: Iterable[int]) -> None:
        """Keep only some clips, in the given order."""
        self._records = [self._records[index] for index in indices]

    @abstractmethod
    def load(self, index: int, epoch: int = 0) -> Sample:
        """Read a clip.

        Raises:
            DataError: it cannot be read, and the dataset does not go on without it.
        """

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.labels)

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """(V, T, C, H, W) of every sample."""
        model = self._reader.model
        return (self.num_views, model.num_segments, model.in_channels, self.side, self.side)

    @property
    def padding(self) -> Sample:
        """An invalid sample of the shapes of all others."""
        return Sample(np.zeros(self.clip_shape, np.float32), self._encode(()), valid=False)

    def name(self, index: int) -> str:
        """Path of a clip as text."""
        return str(self._records[index].path)

    def target(self, index: int) -> Target:
        """Class of a clip, -1 where the list has no labels; (K,) float32 of zeros and ones in multi-label sets."""
        return self._encode(self._records[index].labels)

    def _encode(self, labels: Sequence[int]) -> Target:
        if not self.multi_label:
            return np.int64(labels[0] if labels else -1)
        target = np.zeros(self.num_classes, np.float32)
        target[list(labels)] = 1
        return target

    def class_counts(self) -> np.ndarray:
        """(K,) int64: clips of each class."""
        labels = [label for record in self._records for label in record.labels]
        return np.bincount(np.array(labels, np.int64), minlength=self.num_classes)

    @property
    def num_unlabeled(self) -> int:
        """Clips without any label."""
        return sum(not record.labels for record in self._records)

    def misses(self) -> list[tuple[str, str]]:
        """(name, reason) of the clips that could not be read so far, in list order."""
        with self._lock:
            return [(self.name(index), self._misses[index]) for index in sorted(self._misses)]

    def examine(self, index: int) -> Problem | None:
        """Open a clip and compare its frame count with the list's, without reading frames."""
        record = self._records[index]
        try:
            with self._reader.open(record.path) as source:
                found = source.num_frames
        except DataError as error:
            return Problem(str(error), unreadable=True)
        if record.num_frames is None or record.num_frames == found:
            return None
        return Problem(f"{record.path} has {found} frames, the list says {record.num_frames}", unreadable=False)

    def _record_miss(self, index: int, error: DataError) -> None:
        with self._lock:
            self._misses[index] = str(error)


class TrainingSet(ClipDataset):
    """Clips to learn from: one random view of each, another one in every epoch.

    Args:
        records: the list.
        labels: K class names.
        reader: reads them.
        data: how clips are sampled, varied and replaced.
        seed: of everything random.
    """

    def __init__(
        self, records: Sequence[VideoRecord], labels: Sequence[str], reader: ClipReader, data: DataSpec, seed: int = 0
    ) -> None:
        super().__init__(records, labels, reader, seed)
        self._data = data
        self._mirrored = mirrored_labels(labels)

    @property
    def flip(self) -> str:
        """How clips are mirrored, see `AugmentationSpec`."""
        return self._data.augmentation.flip

    def load(self, index: int, epoch: int = 0) -> Sample:
        """A random view of a clip, or of another one in its place.

        Raises:
            DataError: the clip cannot be read and `on_error` is `fail`, or too many in a row cannot.
        """
        rng = np.random.default_rng((self._seed, epoch, index))
        for _ in range(_REPLACEMENTS):
            try:
                return self._view(index, rng)
            except DataError as error:
                self._record_miss(index, error)
                if self._data.on_error == "fail":
                    raise DataError(f"{error}; or set data.on_error=skip to train without such clips") from None
                index = int(rng.integers(len(self)))
        raise DataError(f"{_REPLACEMENTS} clips in a row cannot be read, the last one: {self.misses()[-1][1]}")

    def _view(self, index: int, rng: np.random.Generator) -> Sample:
        record, reader = self._records[index], self._reader
        frames = reader.read(record.path, training_clip, self._data.sampling, rng)
        clip, flipped = train_augmentation(frames, reader.input, rng, self._data.augmentation)
        labels = record.labels
        if flipped and self._data.augmentation.flip == "swap_labels":
            labels = tuple(self._mirrored[label] for label in labels)
        return Sample(reader.segments(clip)[None], self._encode(labels))


class EvaluationSet(ClipDataset):
    """Clips to score, with labels or without: all views of a protocol; an unreadable one is a miss.

    Args:
        records: the list.
        labels: K class names; none where nothing is known about the clips.
        reader: reads them.
        protocol: the views.
        seed: of everything random.
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
        self.side = reader.input.resize if protocol.full_resolution else reader.input.crop

    def load(self, index: int, epoch: int = 0) -> Sample:
        """All views of a clip, in every epoch the same; an invalid sample if it cannot be read."""
        rng = np.random.default_rng((self._seed, index))
        protocol, reader = self.protocol, self._reader
        try:
            frames = reader.read(self._records[index].path, evaluation_clips, protocol.sampling, rng)
        except DataError as error:
            self._record_miss(index, error)
            return replace(self.padding, target=self.target(index))
        views = evaluation_views(frames, reader.input, protocol.crops, protocol.full_resolution)
        clips = reader.segments(views)  # (crops, clips * T, C, H, W)
        return Sample(clips.reshape(self.clip_shape), self.target(index))


def open_datasets(
    data: DataSpec, input_spec: InputSpec, model: ModelSpec, protocol: Protocol, seed: int = 0
) -> tuple[TrainingSet, EvaluationSet]:
    """The training set and the validation set of a recipe.

    Raises:
        DataError: a list is missing, empty or malformed, a label is out of range (file and line are named), or clips
            have one label and the model several, or the reverse.
        RecipeError: the recipe names no list.
    """
    labels = _labels(data, (data.train_list, data.val_list))
    train = _records(data, "train_list", labels, model)
    val = _records(data, "val_list", labels, model)
    if model.multi_label and all(len(record.labels) == 1 for record in (*train, *val)):
        raise DataError(
            f"{data.path(str(data.train_list))}: every clip has one label, the loss is for several; "
            "set train.loss=cross_entropy"
        )
    reader = ClipReader(input_spec, model, template=data.template, cache=data.cache)
    return TrainingSet(train, labels, reader, data, seed), EvaluationSet(val, labels, reader, protocol, seed)


def open_evaluation_set(
    data: DataSpec,
    input_spec: InputSpec,
    model: ModelSpec,
    protocol: Protocol,
    class_names: Sequence[str] = (),
    source: str = "the checkpoint",
) -> EvaluationSet:
    """The validation list under an evaluation protocol, with its labels in the order of the model's classes.

    Args:
        data: where the clips are.
        input_spec: pixels that the network expects.
        model: the network.
        protocol: the views.
        class_names: K names in the model's order; none where the model does not know them.
        source: origin of `class_names`, for errors.

    Raises:
        DataError: as in `open_datasets`, or the data set has other classes than the model.
        RecipeError: the recipe names no list.
    """
    if data.labels is None and class_names:
        labels = tuple(class_names)  # a list may name them
    else:
        labels = _labels(data, (data.val_list,), at_least=model.num_classes)
    names = class_names or labels
    order = class_order(labels, names, str(data.labels and data.path(data.labels)), source)
    records = _records(data, "val_list", labels, model)
    if order != tuple(range(len(order))):
        _LOG.warning("%s: classes are in another order than in %s; mapped by name", data.labels, source)
        records = [replace(record, labels=tuple(order[label] for label in record.labels)) for record in records]
    labels = tuple(names) if are_named(names) else labels
    reader = ClipReader(input_spec, model, template=data.template, cache=data.cache)
    return EvaluationSet(records, labels, reader, protocol)


def unlabeled_set(
    paths: Sequence[Path], input_spec: InputSpec, model: ModelSpec, protocol: Protocol, template: str | None = None
) -> EvaluationSet:
    """Videos or frame folders about which nothing is known."""
    records = [VideoRecord(path, (), None, line) for line, path in enumerate(paths, 1)]
    return EvaluationSet(records, (), ClipReader(input_spec, model, template=template), protocol)


def shared_clips(first: ClipDataset, second: ClipDataset) -> list[str]:
    """Videos in both sets, whole or in parts: a leak, if one trains and the other evaluates."""
    videos = [{str(split_part(each.name(i))[0]) for i in range(len(each))} for each in (first, second)]
    return sorted(videos[0] & videos[1])


def _labels(data: DataSpec, lists: Sequence[str | None], at_least: int = 0) -> tuple[str, ...]:
    if data.labels is not None:
        return read_labels(data.path(data.labels))
    records = [record for name in lists if name for record in read_list(data.path(name), data.clips_folder)]
    highest = max((label for record in records for label in record.labels), default=-1)
    return tuple(str(number) for number in range(max(highest + 1, at_least)))


def _records(data: DataSpec, key: str, labels: tuple[str, ...], model: ModelSpec) -> list[VideoRecord]:
    list_path = getattr(data, key)
    if list_path is None:
        raise RecipeError(f"data.{key}: is not set; name a list of clips, for instance data.{key}=val.txt")
    records = read_list(data.path(list_path), data.clips_folder, num_classes=len(labels), class_names=labels)
    for record in records:
        if not model.multi_label and len(record.labels) != 1:
            raise DataError(
                f"{data.path(list_path)}:{record.line}: {len(record.labels) or 'no'} labels, but the model gives one; "
                "train with a loss for several, for instance train.loss=lsep"
            )
    return records
