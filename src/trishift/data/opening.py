"""Opening the data sets of a recipe: lists, class names and readers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from trishift.data.classes import are_named, class_order
from trishift.data.clip_reader import ClipReader
from trishift.data.dataset import ClipDataset, EvaluationSet, TrainingSet
from trishift.data.lists import ClipList, find_labels, read_labels, read_list
from trishift.data.lists.columns import hashes
from trishift.data.protocol import Protocol
from trishift.data.spec import DataSpec
from trishift.errors import DataError, RecipeError, named
from trishift.model.spec import InputSpec, ModelSpec

_LOG = logging.getLogger(__name__)


def open_datasets(
    data: DataSpec, input_spec: InputSpec, model: ModelSpec, protocol: Protocol, seed: int = 0, *, validate: bool = True
) -> tuple[TrainingSet, EvaluationSet | None]:
    """Open the training and validation sets of a recipe; only the training set unless `validate`.

    Raises:
        DataError: a list is missing, empty or malformed, a label is out of range (the message names file and line), or
            the model is multi-label and the lists are not, or the reverse.
        RecipeError: the recipe has no list.
    """
    labels, (train, *others) = _read_lists(data, ("train_list", "val_list")[: 1 + validate], model, _named(data))
    (val,) = others or (ClipList(),)
    if model.multi_label and all(len(labels) == 1 for labels in chain(train.labels, val.labels)):
        raise DataError(
            f"{data.path(str(data.train_list))}: every clip has exactly one label, but the loss is multi-label; "
            "set train.loss=cross_entropy"
        )
    reader = _reader(data, input_spec, model)
    val_set = EvaluationSet(val, labels, reader, protocol, seed) if validate else None
    return TrainingSet(train, labels, reader, data, seed), val_set


def open_evaluation_set(
    data: DataSpec,
    input_spec: InputSpec,
    model: ModelSpec,
    protocol: Protocol,
    class_names: Sequence[str] = (),
    source: str = "the checkpoint",
) -> EvaluationSet:
    """Open the validation list under an evaluation protocol, with labels mapped to the model's class order.

    Args:
        data: location of the clips.
        input_spec: input format of the network.
        model: the network.
        protocol: determines the views.
        class_names: K names in the model's order; empty if unknown.
        source: origin of `class_names`, for errors.

    Raises:
        DataError: as in `open_datasets`, or the classes of the data set differ from the model's.
        RecipeError: the recipe has no list.
    """
    # Without a label file, a CSV list may refer to the model's classes by name.
    known = tuple(class_names) if data.labels is None and class_names else _named(data)
    order = (
        class_order(known, class_names or known, str(data.labels and data.path(data.labels)), source) if known else ()
    )
    labels, (records,) = _read_lists(data, ("val_list",), model, known, at_least=model.num_classes)
    names = class_names or labels
    if order != tuple(range(len(order))):
        _LOG.warning("%s: the class order differs from %s; classes are mapped by name", data.labels, source)
        records = records.relabeled(order)
    labels = tuple(names) if are_named(names) else labels
    reader = _reader(data, input_spec, model)
    return EvaluationSet(records, labels, reader, protocol)


def unlabeled_set(
    clips: ClipList | Sequence[Path],
    input_spec: InputSpec,
    model: ModelSpec,
    protocol: Protocol,
    template: str | None = None,
) -> EvaluationSet:
    """Open videos or frame folders without labels."""
    records = clips.unlabeled() if isinstance(clips, ClipList) else ClipList.of(clips)
    return EvaluationSet(records, (), ClipReader(input_spec, model, template=template), protocol)


def shared_clips(first: ClipDataset, second: ClipDataset) -> list[str]:
    """List videos that appear in both sets, whole or in part: leakage between training and evaluation."""
    common = set(np.intersect1d(hashes(first.videos()), hashes(second.videos())).tolist())
    candidates = ({video for video in each.videos() if common and hash(video) in common} for each in (first, second))
    return sorted(map(named, set.intersection(*candidates)))


def _reader(data: DataSpec, input_spec: InputSpec, model: ModelSpec) -> ClipReader:
    return ClipReader(input_spec, model, template=data.template, cache=data.cache, worker_type=data.worker_type)


def _named(data: DataSpec) -> tuple[str, ...] | None:
    """The class names of the label file, None without one."""
    return None if data.labels is None else read_labels(find_labels(data.labels, data.path(data.labels)))


def _read_lists(
    data: DataSpec, keys: Sequence[str], model: ModelSpec, names: tuple[str, ...] | None, at_least: int = 0
) -> tuple[tuple[str, ...], list[ClipList]]:
    """Read lists of a recipe; without `names`, classes are named by their numbers, and there are `at_least` so many."""
    lists = [_read_list(data, key, model, names) for key in keys]
    if names is None:
        labels = chain.from_iterable(clips.labels.counts() for clips in lists)
        highest = max(chain.from_iterable(labels), default=-1)
        names = tuple(map(str, range(max(highest + 1, at_least))))
    return names, lists


def _read_list(data: DataSpec, key: str, model: ModelSpec, names: tuple[str, ...] | None) -> ClipList:
    list_path = getattr(data, key)
    if list_path is None:
        raise RecipeError(f"data.{key} is not set; name a list of clips, for instance data.{key}=val.txt")
    clips = read_list(data.path(list_path), data.clips_folder, class_names=names)
    if model.multi_label:
        return clips
    several = next((i for i, each in enumerate(clips.labels) if len(each) != 1), None)
    if several is not None:
        raise DataError(
            f"{data.path(list_path)}:{clips.line(several)}: {len(clips.labels[several]) or 'no'} labels, but the "
            "model is single-label; train with a multi-label loss, for instance train.loss=lsep"
        )
    return clips
