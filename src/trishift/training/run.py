"""From a recipe to a finished run: set up data, network and weights, then train."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from trishift.backends import open_session
from trishift.backends.contract import OptimizationPlan
from trishift.backends.session import Session
from trishift.checkpoints.canonical import CALIBRATION
from trishift.checkpoints.training_state import TrainingState
from trishift.data.checks import check_sample, class_warnings
from trishift.data.dataset import EvaluationSet, TrainingSet
from trishift.data.opening import open_datasets, shared_clips
from trishift.errors import CheckpointError, DataError, RecipeError
from trishift.evaluation.evaluator import Evaluation
from trishift.io.storage.folders import FolderCopy
from trishift.io.wording import counted
from trishift.model.initialization import drawn_offsets
from trishift.model.losses import LossSpec, balanced, inverse_frequency
from trishift.model.tensors import tensor_shapes
from trishift.recipe import Recipe
from trishift.training.closing import closing_report
from trishift.training.distillation import Teachers, teacher_sources
from trishift.training.head_start import prepare_head
from trishift.training.initial_weights import dropped_calibration, load_initial_weights
from trishift.training.interruption import after_failure, how_to_continue
from trishift.training.mutual import Peer
from trishift.training.nodes import check_start, joined
from trishift.training.output import check_space, claimed, on_leader
from trishift.training.parameter_groups import describe_groups, optimization_plan, prepare_optimizer
from trishift.training.run_folder import Position, RunFolder, earlier_form, load_run, run_to_resume
from trishift.training.run_record import Origin, RunRecord
from trishift.training.selection import out_of_patience
from trishift.training.stored_run import StoredRun, sent_finally
from trishift.training.trackers import check_trackers
from trishift.training.trainer import Trainer
from trishift.zoo.sources import WeightSource, weight_source


def train(
    recipe: Recipe,
    framework: str,
    output: Path,
    *,
    resume: Path | None = None,
    until: int | None = None,
    overwrite: bool = False,
    advise: bool = True,
    origin: Origin = Origin(),  # noqa: B008 (immutable)
    done: Callable[[Path], object] = str,
    copy: FolderCopy | None = None,
) -> Evaluation | None:
    """Train a recipe in a framework.

    Args:
        recipe: a validated recipe; `model.num_classes` 0 is replaced by the number of labels.
        framework: `pytorch`, `mindspore` or `paddle`.
        output: the run folder, see `run_folder.py`. If it holds another run, a new folder is numbered from 2 on.
        resume: the run folder or `last.safetensors` to resume, from any framework.
        until: stop after this epoch (counted from 1); the learning rate schedule still spans the whole recipe.
        overwrite: replace the run in `output`.
        advise: end with the command that uses the result.
        origin: how it was started, for the record of the run.
        done: called by rank 0 with the run folder once it is complete.
        copy: sends the run folder to a store; of a `StoredRun`, `output` is the folder, which is used as it is.

    Returns:
        The last evaluation.
    """
    check_trackers(recipe.log.to)
    resumed = None if resume is None else run_to_resume(resume)
    start = weight_source(recipe.train.initial_weights) if recipe.train.initial_weights and resume is None else None
    peer_weights = recipe.train.distillation.peer.initial_weights
    peer_start = weight_source(peer_weights) if peer_weights and resume is None else None
    for source in (*filter(None, (start, peer_start)), *teacher_sources(recipe)):
        source.check()
    stored = copy if isinstance(copy, StoredRun) else None
    in_place = bool(overwrite or stored or (resumed is not None and output.exists() and resumed.samefile(output)))
    path: Path | None = None
    with (
        joined(framework, recipe, lambda: stored.after_failure() if stored else after_failure(path)) as ranks,
        ExitStack() as stack,
    ):
        sections = (recipe.data, recipe.input, recipe.model, recipe.evaluation, recipe.train.seed)
        train_set, val_set = open_datasets(*sections, validate=bool(recipe.train.evaluate_every))
        recipe = with_classes(recipe, train_set)
        warnings = check_data(recipe, train_set, val_set)
        session = open_session(framework, recipe.model, recipe.execution, recipe.train.seed, ranks=ranks)
        check_sizes(recipe, train_set, session)
        position, state = load_start(recipe, session, resume or start, train_set.labels)
        check_start(session)
        last_epoch = min(until or recipe.train.epochs, recipe.train.epochs)
        finished = resumed is not None and (position.epoch >= last_epoch or out_of_patience(position, recipe))
        if finished and session.rank == 0:
            print(
                f"{stored.address if stored else resumed}: nothing left to train: {why_finished(position, recipe)}",
                flush=True,
            )
        if finished and not (stored.lacks if stored else in_place):
            return None
        if stored is not None:
            on_leader(session, stored.begin)
            if session.rank == 0:
                stack.enter_context(sent_finally(stored))
        guidance = recipe.train.distillation
        peer_file = None if peer_start is None else peer_start.fetch()
        peer = Peer(recipe, session, peer_file, train_set.labels) if guidance.mutual else None
        teachers = Teachers(recipe, session, train_set.labels, peer.session if peer and not guidance.joint else None)
        if resumed is not None and session.rank == 0 and (note := earlier_form(resumed)):
            print(f"note: {note}")
        with claimed(session, output, in_place=in_place) as path:
            recipe = prepare_head(recipe, session, resumed)
            weighted = dataclasses.replace(recipe.train, loss=with_class_weights(recipe, train_set))
            plans = partial(optimization_plan, session.parameters(), weighted, recipe.input.modality)
            plan = plans(position.epoch)
            restore(session, recipe, plan, state)
            if peer is not None:
                peer.restore(weighted, position.epoch, {} if state is None else state.peer)
            folder = RunFolder(path, session, recipe, tuple(train_set.labels), train_set.usual_length(), copy)
            on_leader(session, lambda: prepare_folder(folder, recipe, resumed))
            if finished:
                return None
            if session.rank == 0:
                print_summary(recipe, session, train_set, val_set)
                for warning in warnings:
                    print(f"warning: {warning}")
                print(f"parameter groups: {describe_groups(session.parameters(), plan)}", flush=True)
            trainer = Trainer(recipe, session, plans, teachers, peer, train_set, val_set, folder, position)
            with recorded(path, trainer, session, train_set, val_set, warnings, origin):
                evaluation = trainer.fit(until)
            if session.rank == 0:
                unfinished = until is not None and until < recipe.train.epochs
                hint = f"; {how_to_continue(folder.place, session)}" if unfinished else ""
                if evaluation is not None and trainer.best is not None:
                    print(closing_report(evaluation, trainer.best, train_set.class_counts(), path))
                print(f"run folder: {folder.place}{hint}", flush=True)
                if advise and not unfinished:
                    print(f"next: trishift infer --checkpoint {shlex.quote(folder.place)} VIDEO", flush=True)
        leads, until_sent = session.rank == 0, stack.pop_all()
    with until_sent:
        if leads:
            done(path)
    return evaluation


@contextmanager
def recorded(
    path: Path,
    trainer: Trainer,
    session: Session,
    train_set: TrainingSet,
    val_set: EvaluationSet | None,
    warnings: Sequence[str],
    origin: Origin,
) -> Iterator[None]:
    """Record a part of a run in its folder, however it ends."""
    if session.rank:
        yield
        return
    data = {
        "training_clips": len(train_set),
        "validation_clips": 0 if val_set is None else len(val_set),
        "class_counts": train_set.class_counts().tolist(),
    }
    record = RunRecord(path, session, data, warnings, origin)
    try:
        yield
    finally:
        record.finish(trainer.epochs, trainer.training)


def why_finished(position: Position, recipe: Recipe) -> str:
    """Why a run that is resumed has nothing left to train, and how to continue anyway."""
    if position.epoch < recipe.train.epochs and out_of_patience(position, recipe):
        return f"it stopped early, in epoch {position.epoch}; raise train.best.patience to continue"
    done = f"{position.epoch} of {counted(recipe.train.epochs, 'epoch is', 'epochs are')} done"
    return f"{done}; raise train.epochs (or --until) to continue"


def prepare_folder(folder: RunFolder, recipe: Recipe, resumed: Path | None) -> str:
    """Check the disk space for a checkpoint and its training state, then create the run folder; returns its path."""
    numbers = sum(math.prod(shape) for shape in tensor_shapes(recipe.model).values())
    buffers = {"sgd": 1, "adamw": 2}[recipe.train.optimizer.name] + bool(recipe.train.ema)
    copies = (1 + buffers) * (2 if recipe.train.distillation.mutual else 1)
    check_space(folder.path, copies * 4 * numbers)
    folder.create(resumed)
    return str(folder.path)


def with_classes(recipe: Recipe, dataset: TrainingSet) -> Recipe:
    """Fill in the number of classes, or compare it with the labels."""
    found = len(dataset.labels)
    if recipe.model.num_classes not in (0, found):
        raise RecipeError(
            f"model.num_classes is {recipe.model.num_classes}, but {recipe.data.labels} names "
            f"{counted(found, 'class')}; "
            "set model.num_classes=0 to use the number of labels"
        )
    return dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, num_classes=found))


def check_data(recipe: Recipe, train_set: TrainingSet, val_set: EvaluationSet | None) -> list[str]:
    """Check clips and classes before anything expensive starts; returns warnings.

    Raises:
        DataError: no clip of a list can be read.
    """
    if val_set is None:
        return check_sample(train_set, str(recipe.data.train_list))
    lists = (str(recipe.data.train_list), train_set), (str(recipe.data.val_list), val_set)
    samples = [warning for name, dataset in lists for warning in check_sample(dataset, name)]
    leaked = shared_clips(train_set, val_set)
    if leaked:
        samples.append(
            f"{counted(len(leaked), 'video is', 'videos are')} in both lists, so validation results are too "
            f"good; first: {leaked[0]}"
        )
    if recipe.data.balance.by != "none" and recipe.train.loss.class_weights is not None:
        samples.append(
            "rare classes count twice: data.balance repeats their clips and train.loss.class_weights raises their "
            "loss; remove one of them"
        )
    return samples + class_warnings(train_set, val_set)


def with_class_weights(recipe: Recipe, dataset: TrainingSet) -> LossSpec:
    """The loss with numeric class weights.

    Raises:
        RecipeError: the number of weights differs from the number of classes, or there is only one class to compare.
    """
    loss, classes = recipe.train.loss, dataset.num_classes
    if loss.compares_classes and classes == 1:
        raise RecipeError(f"train.loss: {loss.name} compares classes, but there is only one; use bce")
    if isinstance(loss.class_weights, str):
        rule = {"inverse_frequency": inverse_frequency, "balanced": balanced}[loss.class_weights]
        return dataclasses.replace(loss, class_weights=rule(dataset.class_counts()))
    if loss.class_weights is not None and len(loss.class_weights) != classes:
        raise RecipeError(
            f"train.loss.class_weights: {counted(len(loss.class_weights), 'weight')} for {counted(classes, 'class')}"
        )
    return loss


def check_sizes(recipe: Recipe, dataset: TrainingSet, session: Session) -> None:
    """Reject batch sizes that do not suit the processes or the data."""
    batch, parts = recipe.train.batch_size, session.world_size * recipe.train.accumulate
    if batch % parts:
        raise RecipeError(
            f"train.batch_size: {batch} clips cannot be split evenly over {session.world_size} processes "
            f"x {recipe.train.accumulate} micro-batches; use a multiple of {parts}"
        )
    if recipe.train.mixing.methods and batch % (2 * session.world_size):
        raise RecipeError(
            f"train.batch_size: {batch} clips cannot be mixed in pairs on {counted(session.world_size, 'process')}; "
            f"use a multiple of {2 * session.world_size}, or set train.mixing.{recipe.train.mixing.methods[0]}=0"
        )
    if len(dataset) < batch:
        raise DataError(
            f"{recipe.data.train_list}: {counted(len(dataset), 'clip does', 'clips do')} not fill one batch of "
            f"{batch}; lower train.batch_size"
        )


def load_start(
    recipe: Recipe, session: Session, start: Path | WeightSource | None, class_names: Sequence[str]
) -> tuple[Position, TrainingState | None]:
    """Load a run to resume (a path) or initial weights; returns the position to start from and the run's state."""
    if isinstance(start, Path):
        checkpoint, position, state = load_run(start, recipe)
        if checkpoint.spec != recipe.model:
            raise CheckpointError(
                f"{start}: holds another model than the recipe describes; resume with the run's own recipe"
            )
        if CALIBRATION in checkpoint.meta and session.rank == 0:
            print(dropped_calibration(start), flush=True)
        session.load_tensors(checkpoint.tensors)
        return position, state
    if recipe.train.legacy_drawn_offsets:
        offsets = drawn_offsets(recipe.model, recipe.train.seed)
        session.load_tensors({**session.dump_tensors(), **offsets})
    if start is not None:
        load_initial_weights(recipe, session, start.fetch(), class_names)
    return Position(), None


def restore(session: Session, recipe: Recipe, plan: OptimizationPlan, state: TrainingState | None) -> None:
    """Prepare the optimizer and the running mean: those of a resumed run, or a fresh start."""
    prepare_optimizer(session, plan, {} if state is None else state.optimizer)
    if state is not None and session.rank == 0:
        if state.average and not recipe.train.ema:
            print("note: the run has a running mean of the weights, which is dropped: the recipe has no train.ema")
        if state.peer and not recipe.train.distillation.mutual:
            print("note: the run has a second student, which is dropped: train.distillation.mutual is off")
    if recipe.train.ema:
        session.start_average(None if state is None else state.average)


def print_summary(recipe: Recipe, session: Session, train_set: TrainingSet, val_set: EvaluationSet | None) -> None:
    """Print model, data and schedule."""
    train, model = recipe.train, recipe.model
    parameters = sum(math.prod(info.shape) for info in session.parameters())
    print(
        f"{recipe.name}: {model.backbone}, {counted(model.num_segments, 'segment')}, "
        f"{counted(model.num_classes, 'class')}, "
        f"{parameters / 1e6:.2f} M parameters; {session.framework} on {session.execution.device}, "
        f"{counted(session.world_size, 'process')}"
    )
    validation = "no validation" if val_set is None else f"{len(val_set)} validation"
    print(f"data: {len(train_set)} training and {validation} clips; protocol {recipe.evaluation}")
    if train_set.num_unlabeled and train.loss.compares_classes:
        print(
            f"note: {counted(train_set.num_unlabeled, 'training clip has', 'training clips have')} no label; "
            f"{train.loss.name} learns nothing from them"
        )
    scaling = f" = {train.lr:g} x {train.batch_size} / {train.lr_batch_size}" if train.lr_batch_size else ""
    print(
        f"learning rate {train.scaled_lr:g}{scaling} for batches of {train.batch_size}, "
        f"{counted(train.epochs, 'epoch')}"
    )
