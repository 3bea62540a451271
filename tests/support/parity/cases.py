"""The compared models, with the clips, targets and random draws of each."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from trishift.backends.contract import MicroBatch, OptimizerSpec
from trishift.model.losses import LossSpec
from trishift.model.motion import MotionSpec, tdn
from trishift.model.sizes import Size
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec
from trishift.recipe import TrainSpec
from trishift.recipe.options import FreezeSpec
from trishift.training.draws import draw_step, take

PARTIAL_BN = TrainSpec(lr=1e-3, partial_bn=True, clip_norm=1.0)
MULTI_LABEL = dataclasses.replace(PARTIAL_BN, loss=LossSpec("lsep"))
FULL_BN = TrainSpec(lr=1e-4, clip_norm=None, nesterov=True, weight_decay=1e-3, loss=LossSpec(label_smoothing=0.1))
STILL = dataclasses.replace(PARTIAL_BN, lr=1e-6)  # all steps have the same winners in max pools
TDN = TrainSpec(lr=1e-3, multipliers=False)
UNIFORM = dataclasses.replace(TDN, legacy_frozen_kernels=True)

KIT = TrainSpec(
    lr=1e-4,
    optimizer=OptimizerSpec("adamw"),
    weight_decay=0.05,
    layer_decay=0.7,
    freeze=FreezeSpec(("stem",)),
    stochastic_depth=0.5,
    loss=LossSpec(label_smoothing=0.1, focal_gamma=1.5, class_weights=(1.0, 0.5, 2.0, 1.0, 0.25)),
)
SMALL, FLAT = (32, 32), (32, 48)  # height x width

TINY_STEPS = TrainSpec(lr=1e-7, momentum=0.1, partial_bn=True, clip_norm=1.0)
"""For unbounded similarities: their softmax is almost a maximum, and rounding after larger steps would switch it."""


@dataclass(frozen=True)
class Case:
    """A model at a small size, its training for three steps, and the draw of its clips.

    Each step has `clips` clips in two micro-batches. Some draws are chosen, by PyTorch alone: its max pools stay away
    from ties (`ties`).
    """

    name: str
    spec: ModelSpec
    train: TrainSpec = PARTIAL_BN
    size: Size = (64, 64)
    compiled: bool = False
    clips: int = 4
    draw: int = 0


def _resnet(depth: int, **options: object) -> ModelSpec:
    return ModelSpec(f"resnet{depth}", 5, num_segments=4, width=16, **options)  # type: ignore[arg-type]


def _resnet_vd(depth: int, shift: ShiftSpec) -> ModelSpec:
    return ModelSpec(f"resnet{depth}_vd", 5, 4, width=16, negative_slope=0.01, shift=shift)  # type: ignore[arg-type]


def _mobile(backbone: str, div: int, **options: object) -> ModelSpec:
    shift = ShiftSpec(div, order="past_first")  # sixteenths of 24 channels make folds of 1 and 2
    return ModelSpec(backbone, 5, 4, shift=shift, dropout=0.2, **options)  # type: ignore[arg-type]


def _windows(depth: int, segments: int, motion: MotionSpec) -> ModelSpec:
    return ModelSpec(f"resnet{depth}", 5, segments, in_channels=15, width=8, motion=motion)


def cases() -> tuple[Case, ...]:
    """Every family on every backbone, and each option at least once."""
    block, uni = ShiftSpec(placement="block"), ShiftSpec(direction="unidirectional")
    multiscale = HeadSpec("multiscale_relation", relation_width=32)
    inception = partial(ModelSpec, "bn_inception", 5, 4)
    gaussian = ModelSpec("resnet34", 5, num_segments=4, width=4, non_local=True, non_local_form="gaussian")
    return (
        Case("tsn resnet18 flow", _resnet(18, in_channels=10)),
        Case("tsm resnet18 options", _resnet(18, shift=ShiftSpec()), KIT),
        Case("tsm resnet18 block", _resnet(18, shift=block), FULL_BN, compiled=True),
        Case("tsm resnet18 past first", _resnet(18, shift=ShiftSpec(order="past_first", div=4))),
        Case("tsm resnet50", _resnet(50, shift=ShiftSpec())),
        Case("tsm resnet50 temporal pool", _resnet(50, shift=ShiftSpec(), temporal_pool=True), FULL_BN, compiled=True),
        Case("tsm resnet50 non-local", _resnet(50, shift=ShiftSpec(), non_local=True), size=SMALL, compiled=True),
        Case("tsn resnet34 dot product", _resnet(34, non_local=True, non_local_form="dot_product"), size=FLAT),
        Case("tsn resnet34 concatenation", _resnet(34, non_local=True, non_local_form="concatenation"), size=SMALL),
        Case("tsn resnet34 gaussian", gaussian, TINY_STEPS, size=SMALL),
        Case("trn resnet18 multi-scale", _resnet(18, head=multiscale, multi_label=True), MULTI_LABEL, compiled=True),
        Case("trn resnet50", _resnet(50, head=HeadSpec("relation", relation_width=32, hidden_width=64)), FULL_BN),
        Case("tsm resnet14_vd", _resnet_vd(14, ShiftSpec(order="past_first")), FULL_BN, size=(72, 104)),
        Case("msn resnet14", _windows(14, 2, MotionSpec(window=2)), UNIFORM, size=FLAT, clips=2),
        Case("msn resnet50", _windows(50, 8, MotionSpec()), UNIFORM, size=SMALL, clips=2),
        Case("msn resnet50 16 segments", _windows(50, 16, MotionSpec(stem_share=0.25)), FULL_BN, size=SMALL, clips=2),
        Case("tdn resnet14", _windows(14, 3, tdn(3)), TDN, size=(64, 72), compiled=True, clips=2),
        Case("tdn resnet50", _windows(50, 8, tdn(8)), TDN, size=(48, 64), clips=2),
        Case("tsn mobilenet_v2", ModelSpec("mobilenet_v2", 5, num_segments=4)),
        Case("tsm mobilenet_v2 online", ModelSpec("mobilenet_v2", 5, 4, shift=uni), compiled=True, clips=2),
        Case("trn mobilenet_v2", ModelSpec("mobilenet_v2", 5, num_segments=4, head=HeadSpec("relation"))),
        Case("tsm pp_mobilenet_v2", ModelSpec("pp_mobilenet_v2", 5, 4, shift=uni, dropout=0.0), clips=2),
        Case("tsm pp_mobilenet_v3", _mobile("pp_mobilenet_v3", 16), FULL_BN, compiled=True, clips=2),
        Case("tsm pp_lcnet_v2", _mobile("pp_lcnet_v2", 4, temporal_attention=True), FULL_BN, compiled=True, clips=2),
        Case("tsn bn_inception", inception(), STILL, SMALL, clips=2, draw=12),
        Case("tsm bn_inception", inception(shift=block), STILL, SMALL, compiled=True, clips=2, draw=7),
        Case("trn bn_inception multi-scale", inception(head=multiscale), STILL, SMALL, clips=2, draw=2),
        Case(
            "trn inception_v3 shifted",
            ModelSpec("inception_v3", 5, 2, shift=block, head=HeadSpec("relation", 32)),
            STILL,
            compiled=True,
            size=(75, 107),
            clips=2,
            draw=44,
        ),
    )


def redrawn(chosen: Iterable[Case], times: int) -> list[Case]:
    """The cases with other clips, for another number of times."""
    return [dataclasses.replace(case, draw=case.draw + times) for case in chosen]


def batch(case: Case, step: int) -> MicroBatch:
    """Clips of a case, the same in every step, with targets and draws of the step."""
    spec = case.spec
    seed = (case.draw, zlib.crc32(case.name.encode()))
    clips = _clips(np.random.default_rng(seed), (case.clips, spec.num_segments, spec.in_channels, *case.size))
    targets = np.random.default_rng((step, *seed)).integers(0, spec.num_classes, case.clips)
    if spec.multi_label:  # two neighboring classes per clip
        targets = np.eye(spec.num_classes, dtype=np.float32)[[targets, targets - 1]].sum(0)
    return MicroBatch(clips, targets, draw_step(spec, case.clips, seed=7, iteration=step))


def micro_batches(case: Case, step: int) -> list[MicroBatch]:
    """Both halves of a step's batch."""
    whole = batch(case, step)
    halves = (slice(0, case.clips // 2), slice(case.clips // 2, case.clips))
    return [MicroBatch(whole.clips[half], whole.targets[half], take(whole.draws, half)) for half in halves]


def _clips(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Clips that differ from each other, from frame to frame, from corner to corner and from pixel to pixel."""
    clips, segments, channels, height, width = shape
    corners = rng.standard_normal((clips, segments, channels, 4, 4))
    coarse = corners.repeat(-(-height // 4), 3).repeat(-(-width // 4), 4)[..., :height, :width]
    frames = rng.standard_normal((clips, segments, channels, 1, 1))
    whole = rng.standard_normal((clips, 1, channels, 1, 1))
    return (rng.standard_normal(shape) + coarse + frames + 2 * whole).astype(np.float32)
