"""Predictions for the clips of a data set, batch by batch, in the order of the list."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from trishift.backends.contract import Predictor
from trishift.data.dataset import EvaluationSet
from trishift.evaluation.calibration import Calibration
from trishift.evaluation.evaluator import score_batches
from trishift.evaluation.prediction import Miss, Prediction, predictions_of

Results = list[tuple[int, Prediction | Miss]]
"""Of some clips: the index of each in its list, and what was predicted, or why nothing was."""


def predict_batches(
    session: Predictor,
    dataset: EvaluationSet,
    labels: Sequence[str],
    calibration: Calibration,
    *,
    batch_size: int,
    workers: int,
    only: Sequence[int] | np.ndarray | None = None,
) -> Iterator[Results]:
    """Predict the clips of a data set.

    Args:
        session: the network.
        dataset: the clips.
        labels: K class names.
        calibration: turns logits into probabilities and predicted classes.
        batch_size: clips per batch and views per forward pass.
        workers: threads or processes that read clips.
        only: indices of the clips to predict, ascending; None: all.

    Yields:
        The results of each batch as soon as they are known, in the order of the list.
    """
    begin = time.perf_counter()
    for indices, logits, missed in score_batches(session, dataset, batch_size=batch_size, workers=workers, only=only):
        now = time.perf_counter()
        share, begin = (now - begin) / (len(indices) + len(missed)), now
        numbers = indices.tolist()
        predictions = predictions_of([dataset.name(i) for i in numbers], logits, labels, calibration, share)
        results: Results = list(zip(numbers, predictions, strict=True))
        results += [(index, Miss(dataset.name(index), dataset.take_miss(index))) for index in missed]
        yield sorted(results, key=lambda result: result[0])
