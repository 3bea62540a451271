"""The page of a report, and the pictures beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trishift.evaluation.class_results import ClassResults, class_results
from trishift.evaluation.films import Film
from trishift.evaluation.metrics import to_probabilities
from trishift.io.atomic import write_atomically, write_text
from trishift.io.wording import counted
from trishift.reporting.evaluation import write_confusion
from trishift.reporting.pages.charts import Chart, png
from trishift.reporting.pages.rendering import picture_uri, render
from trishift.reporting.report.curves import curves, reliability
from trishift.reporting.report.facts import figures, fold_table, setup
from trishift.reporting.report.mistakes import Clip, address, clips_of, confident_mistakes, confusions, hardest
from trishift.reporting.report.subject import Subject, page_of
from trishift.version import __version__

CURVES, CALIBRATION = "curves.png", "calibration.png"
_STRIPS = 5  # of each kind
_MOST_ROWS = 200  # of the table of classes
_MOST_FRAMES = 16  # of a strip
_PIXELS = 160  # of a frame's longer side
ReadFilms = Callable[[list[str]], Mapping[str, Film]]


@dataclass(frozen=True)
class Frame:
    """A frame of a strip: its picture, and the probabilities of the predicted and the true class by it alone."""

    picture: str
    predicted: float | None
    truth: float | None


@dataclass(frozen=True)
class Charts:
    """The charts of a report, which its page and its pictures share."""

    curves: list[Chart]
    reliability: Chart | None


def write_report(subject: Subject, read_films: ReadFilms | None = None, page: Path | None = None) -> Path:
    """Write the report of a run or a result, and its pictures beside it; returns the page's path.

    Args:
        subject: what to report.
        read_films: reads clips by name; None: the page has no film strips.
        page: default: report.html in the run folder, or beside the result. Pictures beside another page have its name.
    """
    elsewhere = page is not None and page != page_of(subject.path)
    page = page or page_of(subject.path)
    charts = Charts(curves(subject), None if subject.evaluation is None else reliability(subject.evaluation))
    write_text(page, report_text(subject, charts, read_films, page.parent))
    prefix = f"{page.stem}." if elsewhere else "" if subject.is_run else f"{subject.name}."
    if charts.curves:
        write_atomically(page.parent / f"{prefix}{CURVES}", lambda file: png(file, *charts.curves))
    if charts.reliability is not None:
        calibration = charts.reliability
        write_atomically(page.parent / f"{prefix}{CALIBRATION}", lambda file: png(file, calibration))
    if subject.is_run and subject.evaluation is not None and not subject.evaluation.multi_label:
        names = (f"{prefix}confusion.csv", f"{prefix}confusion.png")
        write_confusion(subject.evaluation, *(page.parent / name for name in names))
    return page


def report_text(subject: Subject, charts: Charts, read_films: ReadFilms | None, folder: Path) -> str:
    """The page as it will be in a folder."""
    evaluation = subject.evaluation
    clips = [] if evaluation is None else clips_of(evaluation)
    notes = list(subject.notes)
    if evaluation is not None and evaluation.misses:
        count = counted(len(evaluation.misses), "video has", "videos have")
        notes.append(f"{count} no scores and {'is' if len(evaluation.misses) == 1 else 'are'} left out, see below.")
    sure = confident_mistakes(clips, _STRIPS)
    hard = hardest(clips, _STRIPS, sure)
    films, problem = _films(read_films, [*sure, *hard])
    if problem and clips:
        notes.append(f"There are no film strips: {problem}.")
    common = _common_folder([clip.name for clip in clips])
    return render(
        "report.html",
        title=subject.recipe.name if subject.is_run and subject.recipe else subject.name,
        subject=subject,
        evaluation=evaluation,
        notes=notes,
        figures=figures(subject),
        folds=fold_table(subject),
        curves=[chart.svg() for chart in charts.curves],
        reliability=charts.reliability and charts.reliability.svg(),
        confusion=None if evaluation is None or evaluation.multi_label else confusions(evaluation, clips),
        classes=None if evaluation is None else _classes(evaluation),
        strips=[
            ("Most confident mistakes", _strips(sure, films, subject)),
            ("Hardest clips", _strips(hard, films, subject)),
        ],
        address=partial(address, folder=folder),
        common=common,
        short=lambda name: name.removeprefix(f"{common}{os.sep}") if common else name,
        setup=setup(subject),
        version=__version__,
    )


def _common_folder(names: list[str]) -> str:
    """The folder that all clips are in; empty if there is none."""
    try:
        common = os.path.commonpath([Path(name).parent for name in names]) if names else ""
    except ValueError:  # absolute and relative paths
        return ""
    return "" if common == os.sep else common


def _films(read: ReadFilms | None, clips: list[Clip]) -> tuple[Mapping[str, Film], str]:
    """The films of clips, or why there are none."""
    if read is None:
        return {}, "they were not asked for"
    try:
        films = read([clip.name for clip in clips])
    except Exception as error:  # the report is worth having without them
        return {}, " ".join(str(error).split()) or type(error).__name__
    return films, "" if films or not clips else "none of the clips can be read here"


def _strips(clips: Iterable[Clip], films: Mapping[str, Film], subject: Subject) -> list[tuple[Clip, list[Frame]]]:
    assert subject.evaluation is not None or not clips
    return [(clip, _frames(films.get(clip.name), clip, subject)) for clip in clips]


def _frames(film: Film | None, clip: Clip, subject: Subject) -> list[Frame]:
    if film is None or subject.evaluation is None:
        return []
    shown = np.unique(np.linspace(0, len(film.pictures) - 1, min(len(film.pictures), _MOST_FRAMES)).round().astype(int))
    chances = None
    if film.logits is not None:
        logits = film.logits.astype(np.float64) / subject.evaluation.temperature
        chances = to_probabilities(logits, subject.evaluation.multi_label)
    frames = []
    for number in shown:
        picture = Image.fromarray(np.ascontiguousarray(film.pictures[number]))
        picture.thumbnail((_PIXELS, _PIXELS))
        scores: tuple[float | None, float | None] = (None, None)
        if chances is not None:
            row = chances[number]
            scores = float(row[clip.predicted]), float(row[list(clip.true)].min(initial=1.0))
        frames.append(Frame(picture_uri(picture), *scores))
    return frames


def _classes(evaluation: Any) -> dict[str, Any]:
    """The rows of the table of classes, the worst first."""
    found: ClassResults = class_results(evaluation.scores, evaluation.targets, evaluation.groups, _MOST_ROWS)
    names = ("precision", "recall", "f1", "average_precision")
    columns = [getattr(found, name) for name in names]
    order = np.argsort(np.nan_to_num(found.f1.value, nan=2.0), kind="stable")
    rows = [
        {
            "label": evaluation.labels[found.classes[place]],
            "videos": int(found.videos[place]),
            "predicted": int(found.predicted[place]),
            "results": [tuple(float(array[place]) for array in (c.value, c.low, c.high)) for c in columns],
        }
        for place in order
    ]
    return {
        "rows": rows,
        "total": len(evaluation.labels),
        "method": found.method,
        "precisions_have_intervals": bool(np.isfinite(found.average_precision.low).any()),
    }
