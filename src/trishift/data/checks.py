"""Checks of a data set before expensive work: unreadable clips and problematic classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trishift.data.classes import are_named
from trishift.data.dataset import ClipDataset, TrainingSet
from trishift.errors import DataError
from trishift.io.threads import map_in_threads
from trishift.io.wording import counted, shown_first

SAMPLE = 16  # clips opened per list
IMBALANCE = 20  # ratio of the largest class to the smallest that triggers a warning


def check_sample(dataset: ClipDataset, list_name: str) -> list[str]:
    """Open a sample of clips spread over a list and compare their frame counts with the list's.

    Args:
        dataset: the clips.
        list_name: name of the list, for messages.

    Returns:
        Warnings.

    Raises:
        DataError: none of the sampled clips can be read.
    """
    indices = np.unique(np.linspace(0, len(dataset) - 1, min(SAMPLE, len(dataset))).astype(int)).tolist()
    problems = map_in_threads(dataset.examine, indices, workers=4)
    unreadable = [problem.reason for problem in problems if problem and problem.unreadable]
    if len(unreadable) == len(indices):
        raise DataError(
            f"{list_name}: none of {counted(len(indices), 'sampled clip')} can be read; first: {unreadable[0]}"
        )
    warnings = []
    if unreadable:
        warnings.append(
            f"{list_name}: {len(unreadable)} of {counted(len(indices), 'sampled clip')} cannot be read: {unreadable[0]}"
        )
    others = [problem.reason for problem in problems if problem and not problem.unreadable]
    if others:
        warnings.append(
            f"{list_name}: {len(others)} of {counted(len(indices), 'sampled clip')} not as in the list: {others[0]}"
        )
    return warnings


def class_warnings(train_set: TrainingSet, val_set: ClipDataset) -> list[str]:
    """Warn about a single class, empty or rare classes, and augmentation that changes classes."""
    labels, counts = train_set.labels, train_set.class_counts()
    warnings = []
    if len(labels) == 1:
        warnings.append("there is only one class, so an accuracy of 100% is meaningless; add clips of other classes")
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        hint = ""
        if empty[0] == 0 and not are_named(labels):
            hint = "; if the list counts its classes from 1, subtract 1 or give a label file (data.labels)"
        warnings.append(f"no training clips: {_named(labels, empty)}{hint}")
    unseen = np.flatnonzero((counts == 0) & (val_set.class_counts() > 0))
    if len(unseen):
        warnings.append(f"only in the validation list, so never trained: {_named(labels, unseen)}")
    filled = np.flatnonzero(counts)
    if len(filled) and counts.max() >= IMBALANCE * counts[filled].min() and train_set.balance.by == "none":
        rare, common = filled[counts[filled].argmin()], counts.argmax()
        remedy = "train.loss.class_weights=inverse_frequency" if train_set.multi_label else "data.balance=square_root"
        warnings.append(
            f"classes are imbalanced: {counted(counts[common], 'clip')} of {labels[common]!r}, {counts[rare]} of "
            f"{labels[rare]!r}; consider {remedy}"
        )
    return warnings + _direction_warnings(train_set)


def _direction_warnings(train_set: TrainingSet) -> list[str]:
    """Warn about augmentation that changes classes, and about the classes that reversal swaps or leaves out."""
    labels, augmentation = train_set.labels, train_set.augmentation
    warnings = []
    pair = next((pair for pair in enumerate(train_set.mirrored) if pair[0] != pair[1]), None)
    if pair is not None and augmentation.flip == "mirror":
        one, other = (labels[place] for place in pair)
        warnings.append(
            f"training mirrors clips, which turns {one!r} into {other!r}; "
            "set data.augmentation.flip=swap_labels (or none)"
        )
    if augmentation.reverse == "none":
        return warnings
    if not are_named(labels) and not augmentation.opposites:
        warnings.append(
            "training plays clips backward, but without class names it cannot know which classes have a direction; "
            "name them (data.labels) or set data.augmentation.opposites"
        )
    pairs = [
        f"{labels[one]!r} and {labels[other]!r}"
        for one, other in enumerate(train_set.reversed)
        if other is not None and one < other
    ]
    if pairs:
        warnings.append(
            f"clips that are played backward swap the labels of {counted(len(pairs), 'pair')} of classes: "
            f"{shown_first(pairs, 3)}; set data.augmentation.opposites if a pair is wrong"
        )
    kept = np.flatnonzero([other is None for other in train_set.reversed])
    if len(kept):
        warnings.append(f"never played backward, as no class is the opposite: {_named(labels, kept)}")
    return warnings


def _named(labels: Sequence[str], classes: np.ndarray) -> str:
    names = shown_first([repr(labels[place]) for place in classes], 5)
    return f"{len(classes)} of {counted(len(labels), 'class')} ({names})"
