"""Output files of an evaluation.

result.json     protocol, metrics, counts, misses, calibration error; multi-label: also thresholds (K,), for raw scores
scores.npz      scores, labels and names of the videos, see `evaluation/scores.py`
confusion.csv   counts; rows are true classes, columns predicted classes. Over 1,000 classes: the pairs that occur
confusion.png   the same as a picture, rows normalized; only of 1,000 classes or fewer
classes.csv     multi-label, instead of the confusion matrix: one row per class, see `write_classes`
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.metrics import class_precisions, confusion, to_probabilities
from trishift.evaluation.scores import write_scores
from trishift.evaluation.thresholds import ENTRY
from trishift.io.atomic import write_atomically, write_text
from trishift.io.terminal import printable
from trishift.reporting.fonts import label_fonts

_MOST_OF_A_MATRIX = 1000  # classes


def write_evaluation(evaluation: Evaluation, path: Path, **context: str) -> str:
    """Write result.json to `path` and the other files beside it; returns a phrase that lists the files written."""
    write_scores(evaluation, path.with_suffix(".scores.npz"))
    if not evaluation.measurable:
        write_result(evaluation, path, **context)
        return f"{path} and, beside it, .scores.npz"
    if evaluation.multi_label:
        write_classes(evaluation, path.with_suffix(".classes.csv"))
    else:
        write_confusion(evaluation, path.with_suffix(".confusion.csv"), path.with_suffix(".confusion.png"))
    write_result(evaluation, path, **context)
    pictured = len(evaluation.labels) <= _MOST_OF_A_MATRIX
    others = ".classes.csv" if evaluation.multi_label else ".confusion.csv" + ", .confusion.png" * pictured
    return f"{path} and, beside it, .scores.npz, {others}"


def write_result(evaluation: Evaluation, path: Path, **context: Any) -> None:
    """Write the JSON summary; `context` adds entries such as the checkpoint's name."""
    write_text(path, json.dumps(result_of(evaluation, **context), indent=2, ensure_ascii=False) + "\n")


def result_of(evaluation: Evaluation, **context: Any) -> dict[str, Any]:
    """The contents of result.json."""
    thresholds = {} if evaluation.thresholds is None else {ENTRY: evaluation.thresholds.tolist()}
    temperature = {} if evaluation.temperature == 1 else {"temperature": evaluation.temperature}
    return {**context, **evaluation.summary(), **temperature, **evaluation.reliability, **thresholds}


def reliability_line(evaluation: Evaluation) -> str:
    """How far the probabilities can be trusted, in one line."""
    found = evaluation.reliability
    if not found:
        return "calibration error: not defined for these scores"
    text = f"calibration error {found['calibration_error']:.2%}, NLL {found['nll']:.3f}"
    if evaluation.temperature == 1:
        return text
    raw = f"without it {found['raw_calibration_error']:.2%} and {found['raw_nll']:.3f}"
    return f"{text} at temperature {evaluation.temperature:.3f}; {raw}"


def write_confusion(evaluation: Evaluation, csv_path: Path, png_path: Path) -> None:
    """Write the confusion matrix as CSV and as a picture."""
    if len(evaluation.labels) > _MOST_OF_A_MATRIX:
        _write_pairs(evaluation, csv_path)
        return
    matrix = confusion(evaluation.scores, evaluation.targets)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["true \\ predicted", *evaluation.labels])
    writer.writerows([label, *row.tolist()] for label, row in zip(evaluation.labels, matrix, strict=True))
    write_text(csv_path, buffer.getvalue())
    with label_fonts(evaluation.labels):
        write_atomically(png_path, lambda file: _draw_confusion(matrix, evaluation.labels, file))


def _write_pairs(evaluation: Evaluation, path: Path) -> None:
    """Write true class, predicted class and count of the pairs that occur, the most frequent first."""
    pairs = Counter(zip(evaluation.targets.tolist(), evaluation.scores.argmax(axis=1).tolist(), strict=True))
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["true", "predicted", "count"])
    labels = evaluation.labels
    writer.writerows([labels[true], labels[predicted], count] for (true, predicted), count in pairs.most_common())
    write_text(path, buffer.getvalue())


def write_classes(evaluation: Evaluation, path: Path) -> None:
    """Write per class: videos, average precision, threshold, and precision, recall and F1 at the threshold.

    Undefined values (for classes without videos) are left empty.
    """
    from sklearn.metrics import precision_recall_fscore_support

    assert evaluation.thresholds is not None
    truth = evaluation.targets > 0
    chosen = to_probabilities(evaluation.scores.astype(np.float64), multi_label=True) >= evaluation.thresholds
    average = class_precisions(evaluation.scores, truth)
    at_threshold = precision_recall_fscore_support(truth, chosen, average=None, zero_division=np.nan)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["class", "videos", "average_precision", "threshold", "precision", "recall", "f1"])
    columns = (average, evaluation.thresholds, *at_threshold[:3])
    for label, count, *figures in zip(evaluation.labels, truth.sum(axis=0), *columns, strict=True):
        writer.writerow([label, count, *("" if np.isnan(figure) else f"{figure:.6f}" for figure in figures)])
    write_text(path, buffer.getvalue())


def _draw_confusion(matrix: np.ndarray, labels: tuple[str, ...], file: BinaryIO) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rates = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 3.0 + 0.35 * min(len(labels), 60)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(rates, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    axes.set(xlabel="predicted", ylabel="true")
    if len(labels) <= 60:  # more would be illegible
        names = [printable(label) for label in labels]
        axes.set_xticks(range(len(labels)), names, rotation=60, ha="right", fontsize=8, parse_math=False)
        axes.set_yticks(range(len(labels)), names, fontsize=8, parse_math=False)
    if len(labels) <= 20:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                color = "white" if rates[row, column] > 0.5 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=7)
    figure.savefig(file, format="png", dpi=120)
