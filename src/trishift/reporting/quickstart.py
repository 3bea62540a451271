"""The quickstart's figure: sample clips, accuracies, TSM's confusion matrix, and the relay between frameworks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trishift.io.atomic import staged
from trishift.io.npz import read_npz

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import HashableList

COLORS = {"tsn": "#9aa5b1", "tsm": "#2f6db5", "trn": "#d98032"}


def draw(data: Path, output: Path, picture: Path, frameworks: Sequence[str]) -> None:
    """Draw film strips of the gestures, accuracies over the epochs, TSM's confusion matrix, and the relay's loss.

    Args:
        data: folder of the gesture set.
        output: the quickstart's folder, with its three runs.
        picture: the PNG to write.
        frameworks: the relay's frameworks, in order; the first one trained everything else. One alone has no relay.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    from trishift.data.gestures import GestureSet, write_preview

    preview = output / "gestures.png"
    write_preview(GestureSet(*(data / f"{name}.txt" for name in ("train", "val", "labels"))), preview)
    rows = 3 if len(frameworks) > 1 else 2
    heights = (1, 1.3, 0.8)[:rows]
    figure = Figure(figsize=(17, 3.4 * sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    layout: list[HashableList[str]] = [["clips", "curves"], ["clips", "confusion"], ["relay", "relay"]]
    axes: dict[str, Axes] = figure.subplot_mosaic(layout[:rows], width_ratios=(1.1, 1), height_ratios=heights)
    with Image.open(preview) as image:
        axes["clips"].imshow(np.asarray(image), interpolation="lanczos")
    axes["clips"].set_axis_off()
    axes["clips"].set_title("One clip of each class, time from left to right", fontsize=11)
    _draw_curves(axes["curves"], output)
    _draw_confusion(axes["confusion"], output / "tsm")
    if "relay" in axes:
        _draw_relay(axes["relay"], output, frameworks)
    with staged(picture) as new:
        figure.savefig(new, dpi=110)


def _draw_curves(axes: Axes, output: Path) -> None:
    from trishift.training.sinks import read_metrics

    for model, color in COLORS.items():
        points = [(r["epoch"], 100 * r["top1"]) for r in read_metrics(output / model, "evaluation")]
        epochs, accuracy = zip(*points, strict=True)
        axes.plot(epochs, accuracy, "o-", color=color, markersize=4, label=f"{model.upper()} {max(accuracy):.1f} %")
    axes.axhline(100 / 9, color="gray", linewidth=0.8, linestyle=":")
    axes.text(0.01, 100 / 9 + 1, "chance", fontsize=8, color="gray", transform=axes.get_yaxis_transform())
    axes.set(xlabel="epoch", ylabel="top-1 on the validation clips (%)", ylim=(0, 102))
    axes.set_title("TSN sees frames, TSM and TRN see their order", fontsize=11)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.12), frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_confusion(axes: Axes, run: Path) -> None:
    from trishift.evaluation.metrics import confusion

    scores, targets, labels = read_npz(next(run.glob("result-*.scores.npz")), ("scores", "targets", "labels"))
    counts = confusion(scores, targets)
    axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if row == column else "black",
            )
    axes.set_xticks([])  # same order as the rows
    axes.set_yticks(range(len(labels)), labels.tolist(), fontsize=8)
    axes.set_title("TSM: true class (rows) against prediction (columns, same order)", fontsize=11)


def _draw_relay(axes: Axes, output: Path, frameworks: Sequence[str]) -> None:
    relay = _step_losses(output / "relay")
    solo = _step_losses(output / "relay-alone")
    axes.plot(range(len(solo)), solo, color="#c4ccd4", linewidth=5, label=f"{frameworks[0]} alone")
    steps = len(relay) // len(frameworks)
    for number, (framework, color) in enumerate(zip(frameworks, COLORS.values(), strict=False)):
        part = range(number * steps, (number + 1) * steps)
        axes.plot(
            part, [relay[i] for i in part], "o-", color=color, markersize=3, linewidth=1, label=f"relay: {framework}"
        )
    axes.set(xlabel="step", ylabel="training loss")
    axes.set_title("One run handed from framework to framework, one epoch each, on every seventh clip", fontsize=11)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _step_losses(run: Path) -> list[float]:
    """Training loss per step of a run."""
    from trishift.training.sinks import read_metrics

    return [record["loss"] for record in read_metrics(run, "train")]
