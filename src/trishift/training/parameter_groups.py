"""Parameter groups of TSN and TSM; the tensor table assigns each tensor to a group.

The originals have eight groups, of which one ("custom ops") is always empty:

    first_conv_weight 1/1 (flow 5/1)   first_conv_bias 2/0 (flow 10/0)
    weight            1/1              bias            2/0
    norm              1/0
    head_weight       5/1              head_bias       10/0     (linear layers; TRN uses 1/1 and 2/0)

The numbers are factors on the learning rate and the weight decay; without `train.multipliers`, all are 1. Partial
batch norm (TSN) freezes every norm of the backbone except the first. Unlike in the original, the norms of non-local
blocks are always trained: they start at zero, and a frozen zero would make the block an identity forever. MSN's code
never trains the kernels of its deformable convolutions (a bug); `train.legacy_frozen_kernels` reproduces that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from trishift.backends.contract import OptimizationPlan, ParameterPlan
from trishift.backends.session import Session
from trishift.errors import RecipeError
from trishift.model.losses import GuideSpec
from trishift.model.spec import Modality
from trishift.model.stages import STAGE_SETS, distances
from trishift.model.tensors import Group, TensorInfo
from trishift.recipe import TrainSpec


def optimization_plan(
    parameters: Iterable[TensorInfo], train: TrainSpec, modality: Modality, epoch: int = 0
) -> OptimizationPlan:
    """Assign learning rate and weight decay factors to each parameter, in network order, for an epoch from 0."""
    infos = tuple(parameters)
    asleep = frozen_layers(infos, train, epoch)
    frozen = frozen_norms(infos, train) | {
        info.layer_name for info in infos if info.layer == "norm" and info.layer_name in asleep
    }
    if train.head_lr_mult == "stable":
        raise RecipeError("train.head_lr_mult: stable depends on the features; resolve it with training.head_start")
    factors = _factors(train.head_lr_mult, flow=modality == "flow")
    if not train.multipliers:
        factors = dict.fromkeys(factors, ParameterPlan(1.0, 1.0))
    untrained = frozen | asleep | frozen_kernels(infos, train)
    guidance = train.distillation
    depths = distances({info.stage for info in infos})
    trained = {
        info.name: _slowed(factors[info.group], train.layer_decay ** depths[info.stage])
        for info in infos
        if info.group and info.layer_name not in untrained
    }
    return OptimizationPlan(
        parameters=trained,
        loss=train.loss,
        guide=GuideSpec(guidance.temperature, guidance.weight, guidance.joint),
        optimizer=train.optimizer,
        momentum=train.momentum,
        nesterov=train.nesterov,
        weight_decay=train.weight_decay,
        frozen_norms=frozen,
        clip_norm=train.clip_norm,
    )


def prepare_optimizer(session: Session, plan: OptimizationPlan, state: Mapping[str, np.ndarray]) -> None:
    """Create an optimizer with the entries of a state that belong to what the plan trains; others start at zero."""
    session.prepare_training(plan)
    trained = {entry: array for entry, array in state.items() if entry.partition(".")[2] in plan.parameters}
    session.load_optimizer(trained)


def frozen_norms(parameters: Iterable[TensorInfo], train: TrainSpec) -> frozenset[str]:
    """Norm layers frozen by a recipe; partial batch norm keeps training the first one and those of non-local blocks."""
    norms = [info for info in parameters if info.layer == "norm" and info.role == "weight"]
    if not train.frozen_bn:
        norms = [info for info in norms[1:] if info.part != "non_local" and train.partial_bn]
    return frozenset(info.layer_name for info in norms)


def frozen_layers(parameters: Iterable[TensorInfo], train: TrainSpec, epoch: int) -> frozenset[str]:
    """Layers of the stages that a recipe freezes in an epoch, counted from 0."""
    stages = {stage for name in train.freeze.frozen(epoch) for stage in STAGE_SETS.get(name, {name})}
    return frozenset(info.layer_name for info in parameters if info.stage in stages)


def frozen_kernels(parameters: Iterable[TensorInfo], train: TrainSpec) -> frozenset[str]:
    """Deformable convolutions whose kernel and bias are frozen by a recipe; their offsets are always trained."""
    names = {info.layer_name for info in parameters if info.part == "deformable"}
    return frozenset(names if train.legacy_frozen_kernels else ())


def describe_groups(parameters: Iterable[TensorInfo], plan: OptimizationPlan) -> str:
    """One line with the number of trained tensors per group."""
    counts = Counter(info.group for info in parameters if info.name in plan.parameters)
    return ", ".join(f"{group} {count}" for group, count in counts.items())


def _slowed(plan: ParameterPlan, factor: float) -> ParameterPlan:
    return ParameterPlan(plan.lr_mult * factor, plan.decay_mult)


def _factors(head: float, *, flow: bool) -> dict[Group, ParameterPlan]:
    return {
        "first_conv_weight": ParameterPlan(5.0 if flow else 1.0, 1.0),
        "first_conv_bias": ParameterPlan(10.0 if flow else 2.0, 0.0),
        "weight": ParameterPlan(1.0, 1.0),
        "bias": ParameterPlan(2.0, 0.0),
        "norm": ParameterPlan(1.0, 0.0),
        "head_weight": ParameterPlan(head, 1.0),
        "head_bias": ParameterPlan(2 * head, 0.0),
    }
