"""The subject of a report: a run folder, or the result of an evaluation."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from trishift.errors import DataError, named
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.scores import HELD_OUT, SCORES, evaluation_of_model, read_scores
from trishift.io.regular import is_in_store
from trishift.io.wording import counted, nearest_path
from trishift.recipe import Recipe, load_recipe
from trishift.training.run_folder import BEST_SCORES, holds_run, read_skipped
from trishift.training.run_record import read_record
from trishift.training.sinks import read_metrics
from trishift.training.stored_run import results_here

PAGE = "report.html"


@dataclass(frozen=True)
class Subject:
    """A run or a result.

    Attributes:
        path: the run folder or the result.json; a copy on this machine if it is in a store.
        evaluation: the scores that the report is about; None if there are none.
        scores: the file with these scores.
        recipe: of the run, or of the evaluated checkpoint, if it is known.
        context: entries of result.json such as `checkpoint` and `framework`.
        notes: what the reader should know first.
        address: of one in a store.
    """

    path: Path
    evaluation: Evaluation | None
    scores: Path | None = None
    recipe: Recipe | None = None
    context: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    address: str = ""

    @property
    def place(self) -> str:
        """The path or address, as the user knows it."""
        return self.address or str(self.path)

    @property
    def is_run(self) -> bool:
        """Whether it is a run folder."""
        return self.path.is_dir()

    @property
    def name(self) -> str:
        """Its short name."""
        path = Path(self.address or self.path.resolve())
        return path.name if self.is_run else path.stem

    @cached_property
    def steps(self) -> list[dict[str, Any]]:
        """Records of the optimizer steps."""
        return read_metrics(self.path, "train") if self.is_run else []

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        """Records of the evaluations during training."""
        return read_metrics(self.path, "evaluation") if self.is_run else []

    @cached_property
    def record(self) -> dict[str, Any]:
        """The contents of run.json."""
        return read_record(self.path) if self.is_run else {}

    @property
    def epochs(self) -> int:
        """Epochs that were started."""
        return max((step.get("epoch") or 0 for step in self.steps), default=0)


def read_subject(path: Path) -> Subject:
    """Read a run folder or a result.json, which may be in a store.

    Raises:
        DataError: it is neither, or the store cannot be reached.
    """
    address, path = named(path).rstrip("/") if is_in_store(path) else "", results_here(path)
    if path.is_dir():
        if not holds_run(path):
            raise DataError(f"{address or path}: holds no run; name a run folder, or the result.json of an evaluation")
        return _run(path, address)
    if path.suffix != ".json" or not path.is_file():
        raise DataError(
            f"{path}: is neither a run folder nor the result.json of an evaluation"
            f"{nearest_path(path) or '; write one with trishift eval --output result.json'}"
        )
    return _result(path, address)


def page_of(path: Path) -> Path:
    """Where the page of a run folder or a result belongs."""
    return path / PAGE if path.is_dir() else path.with_suffix(f".{PAGE}")


def _result(path: Path, address: str) -> Subject:
    context = _summary(path)
    evaluation = _evaluation(path, context)
    recipe = path.parent / "recipe.yaml"
    known = load_recipe(recipe, recorded=True) if recipe.is_file() and _is_of(context, path.parent) else None
    return Subject(path, evaluation, path.with_suffix(SCORES), known, context, address=address)


def _is_of(context: dict[str, Any], folder: Path) -> bool:
    """Whether the checkpoint of a result is that of the run in its folder."""
    checkpoint = Path(str(context.get("checkpoint", "")))
    return (folder / checkpoint.name).is_file() or checkpoint.name == folder.name


def _run(path: Path, address: str) -> Subject:
    recipe = load_recipe(path / "recipe.yaml", recorded=True) if (path / "recipe.yaml").is_file() else None
    subject = Subject(path, None, recipe=recipe, address=address)
    notes = [*_progress(subject), *subject.record.get("warnings", [])]
    if skipped := read_skipped(path / "skipped.txt"):
        clips = counted(len(skipped), "unreadable training clip was", "unreadable training clips were")
        notes.append(f"{clips} skipped, see skipped.txt.")
    scores = path / BEST_SCORES
    if not scores.is_file():
        others = sorted(path.glob(f"*{SCORES}"), key=lambda file: (file.stat().st_mtime, file.name))
        if not others and recipe is not None and not recipe.train.evaluate_every:
            notes.append(_without_validation(path))
            return replace(subject, notes=tuple(notes))
        if not others:
            command = f"trishift eval --checkpoint {subject.place} --output {subject.place}/result.json"
            notes.append(f"There are no scores of single clips yet; write them with {command}")
            return replace(subject, notes=tuple(notes))
        scores = others[-1]
        notes.append(f"Confusion, classes and clips are those of {scores.name}, the newest evaluation in the folder.")
    result = scores.with_name(scores.name.removesuffix(SCORES) + ".json")
    context = _summary(result) if result.is_file() else _best(subject)
    return replace(subject, evaluation=_evaluation(result, context), scores=scores, context=context, notes=tuple(notes))


def _without_validation(path: Path) -> str:
    """What the report of a run on all clips cannot show, and where it is for a fine-tuning."""
    text = "This run had no validation clips, so there are no scores of clips that it has not seen."
    folds = path.parent / HELD_OUT
    return f"{text} {page_of(folds)} has those of the folds." if folds.is_file() else text


def _progress(subject: Subject) -> list[str]:
    """A note if the run is not complete."""
    done = max((record.get("epoch") or 0 for record in subject.evaluations), default=0)
    wanted = 0 if subject.recipe is None else subject.recipe.train.epochs
    if subject.epochs >= wanted and (done >= wanted or not subject.evaluations):
        return []
    running = [part for part in subject.record.get("parts", []) if "seconds" not in part]
    state = "is still running, or was killed" if running else "stopped early, or goes on later"
    return [f"This run {state}: {done} of {counted(wanted, 'epoch')} evaluated so far."]


def _best(subject: Subject) -> dict[str, Any]:
    """The record of the best evaluation, whose scores a run keeps."""
    probes = read_metrics(subject.path, "probe")  # before training, whose weights are the best if none beat it
    recipe, records = subject.recipe, [*({**probe, "epoch": 0} for probe in probes), *subject.evaluations]
    if not records:
        return {}
    metric = (recipe and recipe.train.best.metric) or ("sample_map" if "sample_map" in records[0] else "top1")
    return max(records, key=lambda record: record.get(metric) or 0)  # the first of equal ones, as in training


def _summary(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise DataError(f"{path}: is not the result of an evaluation; evaluate again")
    return content


def _evaluation(path: Path, context: dict[str, Any]) -> Evaluation:
    scores = read_scores(path.with_name(path.stem + SCORES))
    labels = scores.labels or tuple(str(number) for number in range(scores.logits.shape[1]))
    evaluation = evaluation_of_model(scores, labels, scores.targets.ndim == 2, str(context.get("protocol", "")))
    misses = [(str(miss["name"]), str(miss["reason"])) for miss in context.get("misses", [])]
    return replace(evaluation, misses=misses, temperature=float(context.get("temperature", 1)))
