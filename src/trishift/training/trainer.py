"""The training loop, shared by all frameworks.

Everything the loop feeds a framework (clip order, pixels, dropout, relations, learning rate) is a function of the
recipe, the seed and the position in the run, so a run resumes exactly where it was saved.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from itertools import chain, islice
from typing import Any

import numpy as np

from trishift.backends.contract import MicroBatch, OptimizationPlan
from trishift.backends.session import Session
from trishift.data.dataset import EvaluationSet, TrainingSet
from trishift.data.loader import Batch, Loader
from trishift.data.mixing import draw_mixtures, mix
from trishift.evaluation.evaluator import Evaluation, evaluate
from trishift.recipe import Recipe, recipe_to_dict
from trishift.training.distillation import Teachers
from trishift.training.draws import draw_step, take
from trishift.training.interruption import Interrupted, StopSignal, how_to_continue
from trishift.training.mutual import Peer
from trishift.training.output import gather_texts
from trishift.training.parameter_groups import prepare_optimizer
from trishift.training.progress import EpochProgress, training_figures
from trishift.training.results import Results, Step
from trishift.training.run_folder import LAST, Position, RunFolder
from trishift.training.schedule import average_decay, learning_rate
from trishift.training.selection import metric_of, out_of_patience, with_evaluation
from trishift.training.sinks import MetricsLog
from trishift.training.trackers import Trackers


class Trainer:
    """Trains and evaluates a session and keeps the run folder up to date.

    Args:
        recipe: the resolved recipe (number of classes filled in).
        session: a network with weights and optimizer state loaded, prepared for the first epoch.
        plan: the optimization plan of an epoch, counted from 0.
        teachers: guide every step, if there are any.
        peer: a second student that learns beside the first, if wanted.
        train_set, val_set: training and validation clips; without the latter, nothing is evaluated.
        folder: the run folder; only rank 0 writes.
        position: where to start (the beginning, or the saved position of a resumed run).

    Attributes:
        training: the last complete epoch, with the means over its steps: `epoch`, `loss`, and `top1` unless clips have
            several labels; empty before its end.
    """

    def __init__(
        self,
        recipe: Recipe,
        session: Session,
        plan: Callable[[int], OptimizationPlan],
        teachers: Teachers,
        peer: Peer | None,
        train_set: TrainingSet,
        val_set: EvaluationSet | None,
        folder: RunFolder,
        position: Position,
    ) -> None:
        self._recipe, self._session, self._folder = recipe, session, folder
        self._plan, self._teachers, self._peer = plan, teachers, peer
        self._train_set, self._val_set = train_set, val_set
        self._position = position
        self._num_skipped = 0
        self.training: dict[str, float] = {}
        self._leader = session.rank == 0
        self._loader = Loader(
            train_set,
            recipe.train.batch_size,
            shuffle=True,
            seed=recipe.train.seed,
            rank=session.rank,
            world_size=session.world_size,
            workers=recipe.data.workers,
            drop_last=True,
            epochs=recipe.train.epochs,
        )
        resumed = position.iteration if position.iteration else None
        self._log = None
        if self._leader:
            trackers = Trackers(recipe.log.to, folder.path, recipe_to_dict(recipe), resumed)
            self._log = MetricsLog(folder.path, resumed, trackers)

    @property
    def batches_per_epoch(self) -> int:
        """Optimizer steps per epoch."""
        return len(self._loader)

    @property
    def best(self) -> Mapping[str, Any] | None:
        """Epoch and metrics of the best evaluation; epoch 0 is the probe that the run started from."""
        return self._position.best

    @property
    def epochs(self) -> int:
        """Completed epochs of the run."""
        return self._position.epoch

    def fit(self, until: int | None = None) -> Evaluation | None:
        """Train to the end of the recipe, or to the end of epoch number `until` (1-based).

        Returns:
            The last evaluation, or None if there was nothing to do.

        Raises:
            TrainingError: the loss is not finite; the last checkpoint is left untouched.
            Interrupted: Ctrl-C or SIGTERM; everything is saved.
        """
        last_epoch = min(until or self._recipe.train.epochs, self._recipe.train.epochs)
        evaluation = None
        try:
            with StopSignal() as stop:
                if self._recipe.train.head_start == "probe" and self._val_set and not self._position.iteration:
                    self._measure(self._val_set, 0, "probe")
                for epoch in range(self._position.epoch, last_epoch):
                    self._unfreeze(epoch)
                    self._train_epoch(epoch, stop)
                    metrics: Mapping[str, Any] = {}
                    if self._evaluation_due(epoch):
                        evaluation = self._evaluate(epoch)
                        metrics = {} if self._recipe.train.evaluates_others else _entry(epoch + 1, evaluation)
                    self._save(self._position, metrics)
                    if self._out_of_patience():
                        break
                    if not self._recipe.train.evaluate_every and epoch + 1 == self._recipe.train.epochs:
                        self._save_final(epoch)
                self._report_skipped()
        finally:
            self._loader.close()
            if self._log:
                self._log.close()
        return evaluation

    def _unfreeze(self, epoch: int) -> None:
        """Prepare the optimizer for stages that are frozen no longer; their state starts at zero."""
        freeze, start = self._recipe.train.freeze, self._position
        if start.batch or not epoch or freeze.frozen(epoch) == freeze.frozen(epoch - 1):
            return
        prepare_optimizer(self._session, self._plan(epoch), self._session.dump_optimizer())
        if self._peer is not None:
            self._peer.unfreeze(epoch)
        if self._leader:
            frozen = ", ".join(sorted(freeze.frozen(epoch))) or "nothing"
            print(f"epoch {epoch + 1}: frozen from here on: {frozen}", flush=True)

    def _train_epoch(self, epoch: int, stop: StopSignal) -> None:
        start, total = self._position.batch, self.batches_per_epoch
        first = self._position.iteration - start
        results = Results(self._log, self._session.execution.device, self._last_checkpoint)
        with self._progress(epoch, start) as progress:
            for index, batch in progress.track(self._loader.batches(epoch, start)):
                results.add(self._step(epoch, index, first + index, batch))
                progress.step(results.losses[-1], results.accuracies[-1])
                here = replace(self._position, batch=index + 1, iteration=first + index + 1)
                every, is_last = self._recipe.train.save_every, index + 1 == total
                stops = self._stops(stop)
                if stops or (every and (index + 1) % every == 0 and not is_last):
                    results.read()
                    self._save(here, {})
                if stops:
                    raise Interrupted(
                        f"stopped after step {index + 1}/{total} of epoch {epoch + 1}; saved to {self._folder.place}; "
                        f"{how_to_continue(self._folder.place, self._session)}"
                    )
        results.read()
        self._position = replace(self._position, epoch=epoch + 1, batch=0, iteration=first + total)
        self._record_skipped()
        if results.losses:
            self.training = {"epoch": epoch + 1, **results.means()}
            self._report_epoch(progress)

    def _stops(self, stop: StopSignal) -> bool:
        """Whether any rank was asked to stop: all must stop after the same step, or they wait for each other."""
        if self._session.world_size == 1:
            return stop.requested
        return bool(self._session.gather(np.array([stop.requested])).any())

    def _progress(self, epoch: int, start: int) -> EpochProgress:
        epochs, steps = self._recipe.train.epochs, self.batches_per_epoch
        return EpochProgress(
            f"epoch {epoch + 1}/{epochs}",
            steps,
            start,
            clips=self._recipe.train.batch_size,
            later=(epochs - epoch - 1) * steps,
            memory=self._session.peak_memory,
            show=self._leader,
        )

    def _step(self, epoch: int, index: int, iteration: int, batch: Batch) -> Step:
        steps = self.batches_per_epoch
        lr = learning_rate(self._recipe.train, epoch + index / steps, steps)
        batches = self._micro_batches(batch, iteration)
        if self._peer is not None:
            batches = self._peer.learn(batches, lr, iteration)
        result = self._session.train_step(batches, lr)
        if self._recipe.train.ema:
            self._session.update_average(average_decay(self._recipe.train.ema, iteration + 1))
        return Step(epoch + 1, index + 1, iteration, lr, result)

    def _micro_batches(self, batch: Batch, iteration: int, plain: bool = False) -> list[MicroBatch]:
        """Split this rank's clips for accumulation; dropout follows a clip's index in the global batch.

        Args:
            batch: this rank's clips.
            iteration: determines the draws.
            plain: neither mix the clips nor ask teachers about them.
        """
        train, session = self._recipe.train, self._session
        draws = draw_step(session.spec, train.batch_size, train.seed, iteration, train.stochastic_depth)
        draws = take(draws, slice(session.rank, None, session.world_size))  # like the loader distributes clips
        clips, targets, guide = batch.clips[:, 0], batch.targets, None  # training has one view
        rule = self._train_set.normalization
        if rule is not None and (train.mixing.mixup or train.distillation.is_on):  # these need normalized clips
            clips, rule = rule(clips), None
        if not plain:
            clips, targets = self._mix(clips, targets, iteration)
            guide = self._teachers.probabilities(clips)
        size = len(clips) // train.accumulate
        parts = [slice(i * size, (i + 1) * size) for i in range(train.accumulate)]
        weights = self._weights([targets[part] for part in parts])
        return [
            MicroBatch(
                clips[part], targets[part], take(draws, part), None if guide is None else guide[part], weight, rule
            )
            for part, weight in zip(parts, weights, strict=True)
        ]

    def _mix(self, clips: np.ndarray, targets: np.ndarray, iteration: int) -> tuple[np.ndarray, np.ndarray]:
        """Mix this rank's clips (N, T, C, H, W) in pairs, if the recipe says so."""
        train, session = self._recipe.train, self._session
        if not train.mixing.methods:
            return clips, targets
        mixtures = draw_mixtures(train.mixing, (train.batch_size, *clips.shape[1:]), train.seed, iteration)
        return mix(clips, targets, session.spec.num_classes, mixtures[session.rank :: session.world_size])

    def _weights(self, targets: list[np.ndarray]) -> list[float]:
        """Micro-batch weights: the mean loss over micro-batches and ranks must equal the loss of the whole batch."""
        loss = self._recipe.train.loss
        if not loss.averages_positives:
            return [1.0] * len(targets)
        terms = np.array([loss.terms(part) for part in targets], np.float32)
        mean = float(self._session.gather(terms).mean())
        return [float(term) / mean if mean else 1.0 for term in terms]

    def _evaluation_due(self, epoch: int) -> bool:
        every, epochs = self._recipe.train.evaluate_every, self._recipe.train.epochs
        return every > 0 and ((epoch + 1) % every == 0 or epoch + 1 == epochs)

    def _evaluate(self, epoch: int) -> Evaluation:
        assert self._val_set is not None
        with self._evaluated_weights(epoch):
            return self._measure(self._val_set, epoch + 1)

    def _save_final(self, epoch: int) -> None:
        """Save what evaluations would see after the last epoch of a run that has none."""
        if self._recipe.train.evaluates_others:
            with self._evaluated_weights(epoch):
                if self._leader:
                    self._folder.save_final(self._position)

    @contextmanager
    def _evaluated_weights(self, epoch: int) -> Iterator[None]:
        """Exchange the weights for their running mean, and measure the statistics of its batch norms, if wanted."""
        if not self._recipe.train.evaluates_others:
            yield
            return
        session, train = self._session, self._recipe.train
        own = session.dump_tensors()
        try:
            if train.ema:
                session.load_tensors(session.dump_average())
            if train.precise_bn:
                with closing(self._loader.batches(epoch)) as batches:
                    parts = (self._micro_batches(batch, number, plain=True) for number, batch in enumerate(batches))
                    session.measure_statistics(chain.from_iterable(islice(parts, train.precise_bn)))
            yield
        finally:
            session.load_tensors(own)

    def _measure(self, val_set: EvaluationSet, epoch: int, kind: str = "evaluation") -> Evaluation:
        """Evaluate the weights after an epoch, counted from 1; 0 is before the first."""
        size = max(1, self._recipe.train.batch_size // self._session.world_size)
        evaluation = evaluate(self._session, val_set, batch_size=size, workers=self._recipe.data.workers)
        metrics = asdict(evaluation.metrics)
        thresholds = None if evaluation.thresholds is None else evaluation.thresholds.tolist()
        position = replace(self._position, thresholds=thresholds)
        self._position = with_evaluation(position, self._recipe, epoch, metrics)
        if self._leader:
            assert self._log is not None
            record = {**evaluation.summary(), **evaluation.reliability, **({"epoch": epoch} if epoch else {})}
            self._log.write(kind, max(0, self._position.iteration - 1), record)
            print(f"{f'epoch {epoch}' if epoch else 'probe, before training'}: {evaluation}", flush=True)
            self._folder.save_evaluated(self._position, _entry(epoch, evaluation), evaluation)
        return evaluation

    def _out_of_patience(self) -> bool:
        if not out_of_patience(self._position, self._recipe):
            return False
        if self._leader and self._position.best is not None:
            print(
                f"stopped early: no better {metric_of(self._recipe)} than in epoch {self._position.best['epoch']} "
                f"for {self._recipe.train.best.patience} epochs (train.best.patience)",
                flush=True,
            )
        return True

    def _save(self, position: Position, metrics: Mapping[str, Any]) -> None:
        self._position = position
        self._record_skipped()
        if self._leader:
            self._folder.save_last(position, metrics, {} if self._peer is None else self._peer.state())
        self._session.barrier()

    def _last_checkpoint(self) -> str:
        saved = (self._folder.path / LAST).exists()
        hint = how_to_continue(self._folder.place, self._session)
        return f"; the last checkpoint is intact, {hint}" if saved else ""

    def _record_skipped(self) -> None:
        """Write the skipped clips of all ranks to the run folder."""
        if self._recipe.data.on_error == "skip":
            texts = gather_texts(self._session, json.dumps(self._train_set.misses()))
            if self._leader:
                clips = [(name, reason) for text in texts for name, reason in json.loads(text)]
                self._num_skipped = self._folder.record_skipped(clips)

    def _report_skipped(self) -> None:
        if self._leader and self._num_skipped:
            print(
                f"warning: unreadable training clips skipped: {self._num_skipped}, "
                f"listed in {self._folder.place}/skipped.txt",
                flush=True,
            )

    def _report_epoch(self, progress: EpochProgress) -> None:
        if not self._leader:
            return
        note = f", unreadable clips skipped so far: {self._num_skipped}" if self._num_skipped else ""
        loss, top1 = self.training["loss"], self.training.get("top1", math.nan)
        print(
            f"epoch {self.training['epoch']}/{self._recipe.train.epochs}: {training_figures(loss, top1)}, "
            f"data {progress.waited:.1f} s, steps {progress.stepped:.1f} s{note}",
            flush=True,
        )


def _entry(epoch: int, evaluation: Evaluation) -> dict[str, Any]:
    """The epoch, from 1, and metrics of an evaluation."""
    return {"epoch": epoch, **asdict(evaluation.metrics)}
