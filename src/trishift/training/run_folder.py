"""The run folder.

recipe.yaml        the resolved recipe
metrics.jsonl      records of all steps and evaluations      tensorboard/   the same for TensorBoard
last.safetensors   the newest weights and the training state (optimizer, position), in one file
best.safetensors   the weights with the best metric so far (`train.best.metric`; top-1 accuracy by default)
kept/              the best few evaluated weights, by epoch (`train.best.keep`)
evaluated.safetensors   the weights as last evaluated, if they differ from the trained ones: their running mean
                   (`train.ema`), with norms measured anew (`train.precise_bn`)
best.scores.npz    the scores behind that metric, see `evaluation/scores.py`
run.json           framework, machine, time and warnings, see `run_record.py`
report.html        the run at a glance; curves.png and others beside it, see `reporting/report`
skipped.txt        unreadable training clips that were skipped (data.on_error=skip), with the reason
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trishift.backends.session import Session
from trishift.checkpoints.canonical import WINDOW, Checkpoint, encode_description, save
from trishift.checkpoints.training_state import TrainingState, load_state, save_state
from trishift.errors import CheckpointError, DataError
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.scores import write_scores
from trishift.evaluation.thresholds import ENTRY
from trishift.io.atomic import make_folder, write_atomically, write_text
from trishift.io.storage.folders import FolderCopy
from trishift.io.wording import nearest_path, shown_first
from trishift.model.tensors import Tensors
from trishift.recipe import Recipe, recipe_to_dict, save_recipe
from trishift.recipe.renames import has_old_names
from trishift.training.run_record import RECORD
from trishift.training.sinks import counts_from_zero
from trishift.version import __version__

LAST, EVALUATED, BEST_SCORES = "last.safetensors", "evaluated.safetensors", "best.scores.npz"
_FILES = ("recipe.yaml", "metrics.jsonl", LAST, "best.safetensors", EVALUATED, "skipped.txt")
_FOLDERS = ("kept/", "tensorboard/")
_RESULTS = (
    BEST_SCORES,
    RECORD,
    "report.html",
    "curves.png",
    "calibration.png",
    "confusion.csv",
    "confusion.png",
)  # of a run that is replaced
_WITHIN_EPOCH = ("train.batch_size", "train.accumulate", "data.balance.by", "data.balance.beta")  # order of the clips
_INHERITED = (
    "metrics.jsonl",
    "best.safetensors",
    BEST_SCORES,
    EVALUATED,
    "skipped.txt",
    RECORD,
)  # by a run resumed elsewhere


RESUMED = ("recipe.yaml", LAST, *_INHERITED)
"""Files of a run that is resumed; its kept weights belong to them, too."""


def belongs_to_run(name: str) -> bool:
    """Whether a path below a folder is one of a run's files."""
    return name in (*_FILES, *_RESULTS) or name.startswith(_FOLDERS)


def is_replaced(name: str) -> bool:
    """Whether a run removes a file of its own while it goes on."""
    return name == EVALUATED or name.startswith("kept/")


def final_weights(path: Path) -> Path:
    """The file in a run folder with the weights after the last epoch, as evaluations see them."""
    return path / EVALUATED if (path / EVALUATED).is_file() else path / LAST


def holds_run(path: Path) -> bool:
    """Whether a folder contains files of a run; logs of the launch scripts do not count."""
    return any((path / name).exists() for name in _FILES)


def earlier_form(folder: Path) -> str | None:
    """How the files of a run differ from today's form, in which a resumed run writes them; None if they do not."""
    recipe = folder / "recipe.yaml"
    renamed = recipe.is_file() and has_old_names(recipe.read_text(encoding="utf-8"))
    changes = ["old recipe keys are renamed"] * renamed + ["epochs now count from 1"] * counts_from_zero(folder)
    return f"{folder}: written by an earlier version; {' and '.join(changes)}" if changes else None


@dataclass(frozen=True)
class Position:
    """A point in a run: the next batch, and the evaluations so far.

    Attributes:
        epoch: epoch in progress or, if `batch` is 0, the next one; from 0.
        batch: completed batches of that epoch.
        iteration: completed optimizer steps since the start.
        best: epoch (from 1) and metrics of the best evaluation.
        kept: the same of all evaluations whose weights are kept, best first.
        thresholds: thresholds of the last evaluation, see `evaluation/thresholds.py`, if it has any.
    """

    epoch: int = 0
    batch: int = 0
    iteration: int = 0
    best: dict[str, Any] | None = None
    kept: list[dict[str, Any]] = field(default_factory=list)
    thresholds: list[float] | None = None


class RunFolder:
    """Writes the files of a run, each atomically.

    Args:
        path: the folder, which exists and is locked by this process (rank 0).
        session: holds the weights and the optimizer.
        recipe: the resolved recipe.
        labels: class names.
        window: usual length of the training clips in seconds, stored with the weights; None: unknown.
        copy: its copy in a store, if there is one.
    """

    def __init__(
        self,
        path: Path,
        session: Session,
        recipe: Recipe,
        labels: tuple[str, ...],
        window: float | None = None,
        copy: FolderCopy | None = None,
    ) -> None:
        self.path, self._window, self._copy = path, window, copy
        self._session, self._recipe, self._labels = session, recipe, labels
        self._skipped: dict[str, str] = {}

    @property
    def place(self) -> str:
        """Where the run is to be found, see `FolderCopy.place_of`."""
        return str(self.path) if self._copy is None else self._copy.place_of(self.path)

    def create(self, resumed: Path | None = None) -> None:
        """Clean up after killed processes, replace an old run unless it is resumed, and write the resolved recipe.

        Args:
            resumed: the folder of the resumed run, if any; from another folder, its records are copied.

        Raises:
            OutputError: the folder cannot be written.
            DataError: a class name or the recipe has text that no checkpoint can hold.
        """
        self._check_encodable()
        for name in _FILES:
            shutil.rmtree(self.path / f".unfinished-{name}", ignore_errors=True)
            for leftover in self.path.glob(f".{name}.*.tmp"):  # of earlier versions
                leftover.unlink(missing_ok=True)
        if resumed is None or not resumed.samefile(self.path):
            self._remove_run()
            if resumed is not None:
                self._inherit(resumed)
        if not self._recipe.train.evaluates_others:  # of a run that is resumed without these options
            (self.path / EVALUATED).unlink(missing_ok=True)
        self._skipped = read_skipped(self.path / "skipped.txt")
        save_recipe(self._recipe, self.path / "recipe.yaml")

    def save_last(self, position: Position, metrics: Mapping[str, Any], peer: Tensors) -> None:
        """Save everything needed to resume the run, in any framework.

        Args:
            position: where to resume.
            metrics: epoch and metrics of these weights, empty if they were not evaluated.
            peer: state of the second student, if there is one.
        """
        state = TrainingState(
            epoch=position.epoch,
            batch=position.batch,
            iteration=position.iteration,
            seed=self._recipe.train.seed,
            optimizer=self._session.dump_optimizer(),
            average=self._session.dump_average() if self._recipe.train.ema else {},
            peer=peer,
            best=position.best or {},
            kept=position.kept,
        )
        save_state(self.path / LAST, self._checkpoint(position, metrics), state)
        if self._copy is not None:
            self._copy.send()

    def save_evaluated(self, position: Position, metrics: Mapping[str, Any], evaluation: Evaluation) -> None:
        """Save the weights only, for evaluation, prediction and export, in the files that they have earned.

        Args:
            position: with the evaluation of these weights.
            metrics: epoch and metrics of these weights.
            evaluation: their scores.
        """
        checkpoint, epoch = self._checkpoint(position, metrics), metrics["epoch"]
        if self._recipe.train.evaluates_others:
            save(self.path / EVALUATED, checkpoint)
        if position.best is not None and position.best["epoch"] == epoch:
            save(self.path / "best.safetensors", checkpoint)
            write_scores(evaluation, self.path / BEST_SCORES)
        wanted = {_kept_name(entry["epoch"]) for entry in position.kept}
        if _kept_name(epoch) in wanted:
            save(self.path / "kept" / _kept_name(epoch), checkpoint)
        for file in (self.path / "kept").glob("epoch-*.safetensors"):
            if file.name not in wanted:
                file.unlink()

    def save_final(self, position: Position) -> None:
        """Save the weights at the end of a run without evaluations as these would see them."""
        save(self.path / EVALUATED, self._checkpoint(position, {}))

    def record_skipped(self, clips: Iterable[tuple[str, str]]) -> int:
        """List skipped clips (name, reason) in skipped.txt; returns the number of clips in it."""
        known = len(self._skipped)
        for name, reason in clips:
            self._skipped.setdefault(name, reason.removeprefix(f"{name}: "))
        if len(self._skipped) > known:
            lines = (f"{name}\t{reason}\n" for name, reason in sorted(self._skipped.items()))
            write_text(self.path / "skipped.txt", "".join(lines))
        return len(self._skipped)

    def _remove_run(self) -> None:
        for name in (*_FILES, *_RESULTS):
            (self.path / name).unlink(missing_ok=True)
        for name in ("tensorboard", "kept"):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def _inherit(self, resumed: Path) -> None:
        for source in (*(resumed / name for name in _INHERITED), *(resumed / "kept").glob("epoch-*.safetensors")):
            if source.is_file():
                target = self.path / source.relative_to(resumed)
                make_folder(target.parent)
                _copy(source, target)

    def _checkpoint(self, position: Position, metrics: Mapping[str, Any]) -> Checkpoint:
        session = self._session
        return Checkpoint(
            session.dump_tensors(), session.spec, self._recipe.input, self._labels, self._meta(position, metrics)
        )

    def _meta(self, position: Position, metrics: Mapping[str, Any]) -> dict[str, Any]:
        meta = {
            "recipe": recipe_to_dict(self._recipe),
            "framework": self._session.framework,
            "version": __version__,
            "epoch": position.epoch,
            "metrics": dict(metrics),
        }
        if self._window is not None:
            meta[WINDOW] = self._window
        return meta if position.thresholds is None else {**meta, ENTRY: position.thresholds}

    def _check_encodable(self) -> None:
        for label in self._labels:
            _check_text(label, f"class name {label!r}")
        description = encode_description(Checkpoint({}, meta=self._meta(Position(), {})))
        _check_text(description, "a path in the recipe")


def _kept_name(epoch: int) -> str:
    return f"epoch-{epoch:04d}.safetensors"


def _copy(source: Path, target: Path) -> None:
    write_atomically(target, lambda file: file.write(source.read_bytes()))


def _check_text(text: str, name: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{name} has bytes that are not UTF-8, which no checkpoint can hold; rename it") from None


def read_skipped(path: Path) -> dict[str, str]:
    """Read `skipped.txt`: clip to reason; empty if there is no such file."""
    if not path.is_file():  # neither a device
        return {}
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return {name: reason for name, _, reason in (line.partition("\t") for line in lines)}


def run_to_resume(path: Path) -> Path:
    """The folder of the run that `path`, the folder or its `last.safetensors`, belongs to.

    Raises:
        CheckpointError: there is nothing to resume; the message says what there is.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: does not exist{nearest_path(path) or '; name the folder of the run to resume'}")
    if path.is_file():
        return path.parent
    if (path / LAST).is_file():
        return path
    inside = sorted(str(each.parent) for each in path.glob(f"*/{LAST}"))
    if inside:
        raise CheckpointError(f"{path}: is a folder of runs; name the one to resume: {shown_first(inside, 5)}")
    if (path / "best.safetensors").is_file():
        remedy = f"start a new run from its weights with train.initial_weights={path / 'best.safetensors'}"
    elif (path / "recipe.yaml").is_file():
        remedy = f"the run stopped before its first checkpoint; repeat it with --config {path / 'recipe.yaml'}"
    else:
        remedy = "name the folder of a run"
    raise CheckpointError(f"{path}: has no {LAST}, so there is nothing to resume; {remedy}")


def load_run(path: Path, recipe: Recipe) -> tuple[Checkpoint, Position, TrainingState]:
    """Load weights, position and training state from a run folder or its `last.safetensors`.

    Raises:
        CheckpointError: there is no training state, or the recipe has other entries than the run where the clip order,
            random draws and the optimizer depend on them.
    """
    file = path / LAST if path.is_dir() else path
    checkpoint, state = load_state(file)
    stored, wanted = checkpoint.meta.get("recipe", {}), recipe_to_dict(recipe)
    keys = ("train.optimizer.name", *(_WITHIN_EPOCH if state.batch else ()))
    saved = {"train.seed": state.seed, **{key: _entry(stored, key) for key in keys}}
    for key, value in saved.items():
        if value is not None and value != _entry(wanted, key):
            when = f" and stopped within epoch {state.epoch + 1}" if key in _WITHIN_EPOCH else ""
            raise CheckpointError(
                f"{path}: was trained with {key}={value}{when}, but the recipe has {_entry(wanted, key)}; "
                f"set {key}={value} to resume it"
            )
    if recipe.train.ema and not state.average:
        raise CheckpointError(
            f"{path}: was trained without a running mean of the weights, but the recipe has train.ema="
            f"{recipe.train.ema:g}; set train.ema=null to resume it"
        )
    if recipe.train.distillation.mutual and not state.peer:
        raise CheckpointError(
            f"{path}: was trained without a second student, but the recipe has train.distillation.mutual; "
            "set train.distillation.mutual=false to resume it"
        )
    thresholds = checkpoint.meta.get(ENTRY)
    position = Position(state.epoch, state.batch, state.iteration, state.best or None, state.kept, thresholds)
    return checkpoint, position, state


def _entry(recipe: dict[str, Any], key: str) -> Any:
    """A dotted entry of a recipe in plain types. Older recipes lack some entries: their default, or None."""
    value: Any = recipe
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return {"train.optimizer.name": "sgd", "data.balance.by": "none"}.get(key) if value is None else value
