"""Runs side by side: the same clips, paired tests, seeds of one recipe as one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import stdev
from typing import TYPE_CHECKING, Any

from trishift.errors import DataError
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.intervals import Interval
from trishift.evaluation.paired import Difference, compare, left_out_note, main_interval, shared_videos
from trishift.io.terminal import printable
from trishift.io.wording import counted
from trishift.recipe import Recipe, recipe_to_dict
from trishift.recipe.keys import differences
from trishift.reporting.pages.charts import Chart, style
from trishift.reporting.pages.rendering import render
from trishift.reporting.report.subject import Subject
from trishift.version import __version__

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Row:
    """One recipe: a run, or several that differ only in their seed.

    Attributes:
        name: its short name.
        subjects: the runs.
        metric: mean over seeds, with its interval over clips.
        spread: standard deviation over seeds; None for one run.
        difference: from the first row; None there.
    """

    name: str
    subjects: tuple[Subject, ...]
    metric: Interval
    spread: float | None
    difference: Difference | None


@dataclass(frozen=True)
class Comparison:
    """Rows, the first of which the others are compared with, the name of their metric, and a note about clips."""

    rows: tuple[Row, ...]
    metric: str
    clips: int
    note: str


def compare_runs(subjects: Sequence[Subject]) -> Comparison:
    """Compare runs or results with the first of them.

    Raises:
        DataError: one has no scores, or they are of other classes or clips, or one is named twice.
    """
    for path, times in Counter(subject.path.resolve() for subject in subjects).items():
        if times > 1:
            named = next(subject.place for subject in subjects if subject.path.resolve() == path)
            raise DataError(f"{named}: is named {times} times; name each run once")
    evaluations = []
    for subject in subjects:
        if subject.evaluation is None:
            command = f"trishift eval --checkpoint {subject.place} --output {subject.place}/result.json"
            raise DataError(f"{subject.place}: has no scores of single clips; run {command}")
        evaluations.append(subject.evaluation)
    sources = [subject.place for subject in subjects]
    shared = shared_videos(evaluations, sources)
    grouped: dict[tuple[str, int], list[int]] = {}
    earlier: Counter[tuple[str, int | None]] = Counter()
    for place, subject in enumerate(subjects):
        recipe = _without_seed(subject)
        run = recipe, None if subject.recipe is None else subject.recipe.train.seed
        grouped.setdefault((recipe, earlier[run]), []).append(place)  # another run with the same seed is another row
        earlier[run] += 1
    rows: list[Row] = []
    first: list[Evaluation] = []
    for places in grouped.values():
        own = [shared.evaluations[place] for place in places]
        means = [main_interval([each]).mean for each in own]
        members = tuple(subjects[place] for place in places)
        difference = compare(own, first) if first else None
        first = first or own
        spread = stdev(means) if len(means) > 1 else None
        rows.append(Row(_name(members), members, main_interval(own), spread, difference))
    metric = "mAP over clips" if evaluations[0].multi_label else "top-1"
    return Comparison(tuple(rows), metric, len(shared.evaluations[0].names), left_out_note(shared, sources))


def _without_seed(subject: Subject) -> str:
    """Equal for runs of one recipe in the same frameworks whose seeds differ, else different."""
    recipe = subject.recipe
    if recipe is None or not subject.is_run:
        return subject.place
    values = recipe_to_dict(recipe)
    values["train"] = {**values["train"], "seed": None}
    frameworks = dict.fromkeys(part.get("framework") for part in subject.record.get("parts", []))
    return repr({**values, "name": None, "frameworks": list(frameworks)})


def _name(subjects: Sequence[Subject]) -> str:
    others = len(subjects) - 1
    return f"{subjects[0].name} and {counted(others, 'more seed')}" if others else subjects[0].name


def table(comparison: Comparison) -> list[list[str]]:
    """The rows as texts, with a header."""
    seeds = any(row.spread is not None for row in comparison.rows)
    lines = [["run", comparison.metric, *(["seeds"] if seeds else []), "difference", "better/worse", "McNemar's p"]]
    for row in comparison.rows:
        metric = f"{row.metric.mean:.1%} ({row.metric.low:.1%} to {row.metric.high:.1%})"
        spread = "1" if row.spread is None else f"{len(row.subjects)}, ± {100 * row.spread:.1f}"
        lines.append([row.name, metric, *([spread] if seeds else []), *_against_first(row)])
    return lines


def _against_first(row: Row) -> list[str]:
    if row.difference is None:
        return ["", "", ""]
    found = row.difference
    low, high = 100 * found.gain.low, 100 * found.gain.high
    points = f"{100 * found.gain.mean:+.1f} ({low:+.1f} to {high:+.1f})"
    return [points, f"{found.better}/{found.worse}", "–" if found.p_value is None else f"{found.p_value:.2g}"]


def summary(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON types."""
    rows = []
    for row in comparison.rows:
        entry: dict[str, Any] = {"runs": [subject.place for subject in row.subjects], **_interval(row.metric)}
        if row.spread is not None:
            entry["spread"] = row.spread
        if row.difference is not None:
            found = row.difference
            entry["difference"] = {**_interval(found.gain), "better": found.better, "worse": found.worse,
                                   "p_value": found.p_value}  # fmt: skip
        rows.append(entry)
    return {"metric": comparison.metric, "clips": comparison.clips, "note": comparison.note, "rows": rows}


def _interval(found: Interval) -> dict[str, Any]:
    return {"mean": found.mean, "low": found.low, "high": found.high, "method": found.method}


def page_text(comparison: Comparison) -> str:
    """The page of a comparison."""
    runs = [subject for row in comparison.rows for subject in row.subjects if subject.evaluations]
    return render(
        "compare.html",
        title="Comparison",
        comparison=comparison,
        table=table(comparison),
        curves=Chart(partial(_accuracies, runs=runs)).svg() if runs else None,
        keys=_keys(comparison),
        version=__version__,
    )


def _accuracies(axes: Axes, runs: Sequence[Subject]) -> None:
    for number, run in enumerate(runs):
        name = "sample_map" if "sample_map" in run.evaluations[0] else "top1"
        points = [(record["epoch"], 100 * record[name]) for record in run.evaluations]
        axes.plot(*zip(*points, strict=True), label=printable(run.name), **style(number))
    axes.set_title("Validation accuracy (%)")
    axes.set(xlabel="epoch")
    if len(runs) <= 8:
        axes.legend()


def _keys(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """The recipe keys in which the rows differ: name, and the value of each row."""
    recipes = [row.subjects[0].recipe for row in comparison.rows]
    known = [recipe or Recipe() for recipe in recipes]
    if None in recipes:
        return []
    names = dict.fromkeys(name for other in known[1:] for name, _, _ in differences(other, known[0]))
    names.pop("name", None)
    changes = [differences(recipe, Recipe()) for recipe in known]
    columns = [{name: after for name, _, after in own} for own in changes]
    defaults = {name: before for own in changes for name, before, _ in own}
    return [(name, [column.get(name, defaults.get(name, "")) for column in columns]) for name in names]
