"""The figures and the setup in a report."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from trishift.data.transforms import view_size
from trishift.evaluation.intervals import accuracy
from trishift.io.wording import counted, spell_time
from trishift.model.cost import multiplications, num_parameters
from trishift.recipe import Recipe
from trishift.recipe.keys import differences
from trishift.recipe.reading import recipe_text
from trishift.reporting.pages.rendering import number, percent
from trishift.reporting.report.subject import Subject, page_of
from trishift.training.finetune import ON_ALL

_NAMES = {
    "top1": "Top-1",
    "top5": "Top-5",
    "mean_class_accuracy": "Mean class accuracy",
    "p_at_1": "P@1",
    "p_at_5": "P@5",
    "sample_map": "mAP over clips",
    "class_map": "mAP over classes",
}
Rows = list[tuple[str, str]]


def figures(subject: Subject) -> list[tuple[str, str, str]]:
    """The most important numbers: name, value and explanation."""
    found: list[tuple[str, str, str]] = []
    evaluation = subject.evaluation
    if evaluation is not None:
        main = accuracy(evaluation)
        name = "mAP over clips" if evaluation.multi_label else "Top-1"
        interval = f"{percent(main.low)} to {percent(main.high)} ({percent(0.95, 0)}, {main.method})"
        found.append((name, percent(main.mean), interval))
        for entry, value in vars(evaluation.metrics).items():
            few = entry in ("top5", "p_at_5") and len(evaluation.labels) <= 5
            if entry in _NAMES and _NAMES[entry] != name and not few:
                found.append((_NAMES[entry], percent(value), ""))
        reliable = evaluation.reliability
        if reliable:
            found.append(("Calibration error", percent(reliable["calibration_error"]), f"NLL {reliable['nll']:.3f}"))
        found.append(("Clips", f"{len(evaluation.names):,}", counted(len(evaluation.labels), "class")))
    elif subject.evaluations:
        last = subject.evaluations[-1]
        found += [(_NAMES[key], percent(last[key]), f"epoch {last['epoch']}") for key in _NAMES if key in last]
    if seconds := training_seconds(subject):
        found.append(("Training time", spell_time(seconds), counted(subject.epochs, "epoch")))
    return found


def training_seconds(subject: Subject) -> float:
    """Seconds of all parts of a run that are recorded."""
    return float(sum(part.get("seconds", 0) for part in subject.record.get("parts", [])))


@dataclass(frozen=True)
class FoldTable:
    """The results of a fine-tuning in every fold.

    Attributes:
        metric: its name.
        rows: per seed and for the probe: name, the metric of each fold, and that of all clips.
        verdict: what was reached, and which model is shipped.
        final: path of the report of the run on all clips, which need not exist.
    """

    metric: str
    rows: list[tuple[str, list[float], float]]
    verdict: str
    final: str


def fold_table(subject: Subject) -> FoldTable | None:
    """The folds of a fine-tuning; None if it is something else."""
    with suppress(KeyError, TypeError, ValueError):
        found = subject.context["folds"]
        rows = [(str(name), [float(value) for value in each], float(mean)) for name, each, mean in found["rows"]]
        if len({len(each) for _, each, _ in rows}) == 1:
            final = page_of(subject.path.parent / ON_ALL)
            return FoldTable(str(found["metric"]), rows, str(found["verdict"]), str(final))
    return None


def setup(subject: Subject) -> dict[str, Any]:
    """How the numbers came about: facts in groups, and the recipe."""
    recipe = subject.recipe
    groups: list[tuple[str, Rows]] = [("Evaluation", _evaluation(subject)), ("Environment", _environment(subject))]
    if recipe is not None:
        groups += [("Model", _model(recipe)), ("Data", _data(subject, recipe)), ("Cost", _cost(subject, recipe))]
    first = (subject.record.get("parts") or [{}])[0]
    named, base = first.get("recipe", ""), first.get("base", "")
    changes = first["changes"] if named else [] if recipe is None else differences(recipe, Recipe())
    return {
        "groups": [(name, rows) for name, rows in groups if rows],
        "named": named,
        "base": base,
        "changes": changes,
        "recipe": "" if recipe is None else recipe_text(recipe),
    }


def _evaluation(subject: Subject) -> Rows:
    rows: Rows = []
    if subject.evaluation is None:
        return rows
    if subject.evaluation.protocol:
        rows.append(("protocol", subject.evaluation.protocol))
    rows += [(name, str(subject.context[name])) for name in ("checkpoint", "framework") if name in subject.context]
    if subject.is_run and "epoch" in subject.context:
        chosen = "chosen on these clips, so expect less on others"
        epoch = subject.context["epoch"]
        origin = f"after epoch {epoch}" if epoch else "the probe, before training"
        rows.append(("weights", f"best.safetensors, {origin}; {chosen}"))
    if subject.scores is not None:
        rows.append(("scores", subject.scores.name))
    if subject.evaluation.temperature != 1:
        rows.append(("temperature", number(subject.evaluation.temperature)))
    return rows


def _environment(subject: Subject) -> Rows:
    rows: Rows = []
    for part in subject.record.get("parts", []):
        part = defaultdict(str, part)
        software = f"{part['framework']} {part['framework_version']}, Python {part['python']}, {part['system']}"
        hardware = f"{part['device']} {part['precision']}, {counted(int(part['processes'] or 1), 'process')}"
        started = str(part["started"]).replace("T", " ").replace("+00:00", " UTC")
        rows.append((started, f"{software}; {hardware}; Trishift {part['version']}"))
        if part.get("command"):
            rows.append(("command", f"trishift {' '.join(part['command'])}"))
    return rows


def _model(recipe: Recipe) -> Rows:
    model = recipe.model
    others = "TSM" if model.shift else "TRN" if model.head.consensus != "average" else "TSN"
    kind = model.motion.title if model.motion else others
    size = "x".join(map(str, recipe.input.crop_size))
    frames = f"{counted(model.num_segments, 'segment')}, {size} {recipe.input.modality}"
    rows = [("network", f"{kind}, {model.backbone}, {frames}")]
    if model.num_classes:
        rows.append(("parameters", f"{num_parameters(model) / 1e6:.2f} M"))
    rows.append(("initial weights", recipe.train.initial_weights or f"drawn from seed {recipe.train.seed}"))
    return rows


def _data(subject: Subject, recipe: Recipe) -> Rows:
    data, recorded = recipe.data, subject.record.get("data", {})
    named = ("folder", data.root), ("training list", data.train_list), ("validation list", data.val_list)
    rows = [(name, str(value)) for name, value in named if value]
    if recorded:
        counts = recorded.get("class_counts") or [0]
        spread = " to ".join(f"{count:,}" for count in sorted({min(counts), max(counts)})) + " per class"
        rows.append(("training clips", f"{recorded.get('training_clips', 0):,}, {spread}"))
        rows.append(("validation clips", f"{recorded.get('validation_clips', 0):,}"))
    return rows


def _cost(subject: Subject, recipe: Recipe) -> Rows:
    rows: Rows = []
    if recipe.model.num_classes:
        size = view_size(recipe.input, recipe.evaluation.full_resolution)
        views = recipe.evaluation.num_views
        per_view = multiplications(recipe.model, size) / 1e9
        several = f" ({views} views of {per_view:.3g} G)" if views > 1 else ""
        rows.append(("per clip", f"{per_view * views:.3g} G multiply-adds{several}"))
    if seconds := training_seconds(subject):
        rows.append(("training", spell_time(seconds)))
    peaks = [part.get("peak_memory") or 0 for part in subject.record.get("parts", [])]
    if any(peaks):
        rows.append(("memory", f"{max(peaks) / 2**30:.2f} GB at most"))
    return rows
