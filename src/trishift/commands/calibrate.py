"""`trishift calibrate`: fit the temperature and the thresholds of a model to a validation list."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trishift.commands.shared.arguments import (
    add_checkpoint,
    add_framework,
    add_import_options,
    add_protocol,
    check_positive,
    import_options,
)
from trishift.commands.shared.devices import AUTO, add_device, named_device
from trishift.commands.shared.inputs import check_protocol, load_model
from trishift.commands.shared.labeled import (
    add_recipe,
    check_recipe,
    data_of_list,
    open_labeled,
    required_recipe,
    stored_recipe,
)
from trishift.commands.shared.outputs import add_strict, report_misses, status
from trishift.commands.shared.parser import make_parser
from trishift.errors import CheckpointError, DataError, RecipeError
from trishift.io.wording import counted

if TYPE_CHECKING:
    from trishift.checkpoints import Checkpoint
    from trishift.evaluation.evaluator import Evaluation
    from trishift.recipe import Recipe

EXAMPLES = """\
  trishift calibrate --checkpoint runs/gestures-tsm
  trishift calibrate --checkpoint best.safetensors --filelist val.txt --precision 0.9 --output calibrated.safetensors
  trishift calibrate --checkpoint best.safetensors --scores result.json      (of trishift eval --output result.json)
"""
_REMEDY = "give a longer list, or write it anyway with --force"


def main(arguments: list[str]) -> None:
    """Parse, score the videos, fit, print and write."""
    options = _parser().parse_intermixed_args(arguments)
    check_positive(options, "batch_size", "workers")
    if not 0 < options.wanted < 1:
        raise RecipeError(f"--precision {options.wanted:g}: must lie between 0 and 1, for example 0.95")
    check_recipe(options)
    options.checkpoint.check()
    if options.device != AUTO:
        options.device = named_device(options.device)  # refuses unknown ones before the work
    target = _target(options)
    options.scores = options.scores or _held_out(options)

    from trishift.checkpoints.canonical import CALIBRATION
    from trishift.evaluation.calibrating import CalibrationStudy, LabeledLogits
    from trishift.evaluation.calibration import stored_calibration

    checkpoint, evaluation = _from_scores(options) if options.scores else _from_videos(options)
    videos = LabeledLogits(evaluation.scores, evaluation.targets, evaluation.groups or evaluation.names)
    videos.check(evaluation.names)
    _warn_of_training_clips(checkpoint, evaluation, options.scores)
    assert checkpoint.spec is not None
    before = stored_calibration(checkpoint.meta, checkpoint.spec, raw=True)
    study = CalibrationStudy(videos, before, options.wanted)
    print(study.report(evaluation.labels))
    report_misses(evaluation.misses, len(evaluation.names) + len(evaluation.misses), strict=options.strict)
    if (doubt := study.doubt()) and not options.force:
        raise DataError(f"calibration: {doubt}, so nothing is written; {_REMEDY}")
    _write(options, {CALIBRATION: study.entry(protocol=evaluation.protocol)}, target)
    print(f"written: {target}")


def _target(options: argparse.Namespace) -> Path:
    """The file to write, checked before any work: `--output`, or else the checkpoint itself."""
    from trishift.checkpoints.answers import flag
    from trishift.checkpoints.conversion import check_destination
    from trishift.checkpoints.rewriting import check_rewritable
    from trishift.export.opening import is_exported
    from trishift.io.atomic import check_writable

    local: Path | None = options.checkpoint.local
    if local is not None and is_exported(local):
        raise CheckpointError(f"{local}: is an exported model; calibrate its checkpoint and export that again")
    target: Path | None = options.output or local
    if target is None:
        raise CheckpointError(f"{options.checkpoint}: is not a local file; name a new file with --output")
    if _is_same(target, local):
        check_rewritable(target)
        if changed := next(iter(import_options(options)), None):
            raise RecipeError(f"{flag(changed)}: {target} keeps its own value; name a new file with --output")
    else:
        check_destination(target, None, options.force)
        if not target.suffix:
            raise CheckpointError(f"{target}: add a suffix such as .safetensors")
    check_writable(target.resolve())
    return target


def _held_out(options: argparse.Namespace) -> Path | None:
    """The scores beside the final model of a fine-tuning, which was trained on every clip that it has."""
    from trishift.checkpoints.files import FINAL_MODEL
    from trishift.evaluation.scores import HELD_OUT

    local = options.checkpoint.local
    asked = options.filelist or options.root or options.protocol or options.config or options.overrides
    if asked or local is None or local.name != FINAL_MODEL:
        return None
    scores = local.with_name(HELD_OUT)
    if not scores.is_file():
        return None
    status(f"scores: {scores}, of the folds that held the clips out")
    return scores


def _is_same(target: Path, local: Path | None) -> bool:
    return local is not None and target.exists() and target.samefile(local)


def _from_videos(options: argparse.Namespace) -> tuple[Checkpoint, Evaluation]:
    """The model's description, and its scores of the list."""
    from trishift.checkpoints import Checkpoint
    from trishift.data.protocol import Protocol, named_protocol
    from trishift.data.spec import DataSpec
    from trishift.evaluation.calibrating import too_few
    from trishift.evaluation.evaluator import evaluate

    asked = named_protocol(options.protocol) if options.protocol else None
    model = load_model(options)
    model.discard_calibration()
    status(model.report.summary())
    if options.filelist:
        recipe = stored_recipe(options, model.meta)
        data = data_of_list(recipe.data if recipe else DataSpec(), options.filelist, options.root)
    else:
        recipe = required_recipe(options, model.meta)
        data = recipe.data
        if data.val_list and not data.path(data.val_list).is_file():
            raise RecipeError(f"{data.path(data.val_list)}: the recipe's list is not here; name one with --filelist")
    protocol = asked or (recipe.evaluation if recipe else Protocol())
    check_protocol(model, protocol)
    dataset = open_labeled(model, data, protocol, str(options.checkpoint))
    if (doubt := too_few(len(dataset))) and not options.force:
        raise DataError(f"calibration: {doubt}; {_REMEDY}")
    workers = options.workers or data.workers
    evaluation = evaluate(model.session, dataset, batch_size=options.batch_size, workers=workers)
    model.session.close()
    return Checkpoint({}, model.spec, model.input, meta=model.meta), replace(evaluation, labels=model.labels)


def _from_scores(options: argparse.Namespace) -> tuple[Checkpoint, Evaluation]:
    """The model's description, and the scores that an evaluation has written; no framework is needed."""
    from trishift.checkpoints import import_weights
    from trishift.evaluation.scores import evaluation_of_model, read_scores
    from trishift.reporting.model_card import read_result

    unused = {"--filelist": options.filelist, "--root": options.root, "--protocol": options.protocol}
    given = next((name for name, value in unused.items() if value), None)
    if given:
        raise RecipeError(f"{given}: has no effect with --scores; remove it")
    checkpoint, report = import_weights(options.checkpoint.fetch(), **import_options(options))
    status(report.summary())
    spec = checkpoint.spec
    if spec is None or not spec.num_classes:
        raise CheckpointError(f"{options.checkpoint}: has no head; there is nothing to calibrate")
    labels = checkpoint.labels or tuple(map(str, range(spec.num_classes)))
    result = read_result(options.scores) if options.scores.suffix == ".json" else {}
    return checkpoint, evaluation_of_model(
        read_scores(options.scores), labels, spec.multi_label, str(result.get("protocol", ""))
    )


def _warn_of_training_clips(checkpoint: Checkpoint, evaluation: Evaluation, scores: Path | None) -> None:
    """A model is more confident on the videos that it was trained on."""
    from trishift.data.lists import read_list
    from trishift.evaluation.scores import HELD_OUT
    from trishift.recipe import recipe_from_dict

    if not checkpoint.meta.get("recipe") or (scores is not None and scores.name == HELD_OUT):
        return
    try:
        recipe: Recipe = recipe_from_dict(checkpoint.meta["recipe"])
        path = recipe.data.path(str(recipe.data.train_list))
        names = None if recipe.data.labels is None else evaluation.labels
        trained = _absolute(read_list(path, recipe.data.clips_folder, class_names=names).videos())
    except (DataError, RecipeError):
        return  # on another machine, whose lists are not here
    shared = [name for name in evaluation.names if _absolute([name]) <= trained]
    if shared:
        status(
            f"warning: {len(shared)} of {counted(len(evaluation.names), 'video')} are in the training list {path}, on "
            "which the model is too confident; give a list of other videos"
        )


def _absolute(names: Iterable[str]) -> set[Path]:
    from trishift.data.parts import split_part

    return {split_part(Path(name))[0].absolute() for name in names}


def _write(options: argparse.Namespace, entries: dict[str, Any], target: Path) -> None:
    """Write the weights with more metadata."""
    from trishift.checkpoints import import_weights
    from trishift.checkpoints.rewriting import add_meta
    from trishift.checkpoints.writing import write_native

    if _is_same(target, options.checkpoint.local):
        add_meta(target, entries)
        return
    checkpoint, _ = import_weights(options.checkpoint.fetch(), **import_options(options))
    write_native(target.resolve(), replace(checkpoint, meta={**checkpoint.meta, **entries}))


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "calibrate",
        "Fit a model's temperature and thresholds to a validation list, and store them with its weights.",
        EXAMPLES,
    )
    add_checkpoint(parser, "weights of any family")
    videos = parser.add_argument_group("videos")
    videos.add_argument("--filelist", type=Path, help="labeled list; default: the recipe's validation list")
    videos.add_argument("--root", type=Path, help="folder that its paths are relative to; default: that of the list")
    videos.add_argument(
        "--scores",
        type=Path,
        metavar="FILE",
        help="result.json or .scores.npz of an evaluation of these weights, in place of the videos",
    )
    add_protocol(videos, "the recipe's")
    parser.add_argument(
        "--precision",
        dest="wanted",
        type=float,
        default=0.95,
        metavar="P",
        help="share of right predictions that each class's threshold is chosen for; default: 0.95",
    )
    parser.add_argument(
        "--output", type=Path, help="new file (.safetensors, .pth, .ckpt, .pdparams); default: the checkpoint itself"
    )
    text = "replace an existing output, and write a calibration that was not shown to help on other videos"
    parser.add_argument("--force", action="store_true", help=text)
    parser.add_argument("--batch-size", type=int, default=8, help="videos and views per forward pass; default: 8")
    parser.add_argument("--workers", type=int, help="threads or processes that read clips; default: the recipe's")
    add_framework(parser)
    add_device(parser)
    add_import_options(parser)
    add_recipe(parser)
    add_strict(parser)
    parser.set_defaults(runtime="auto", precision="fp32", channels_last=None)
    return parser
