"""The optimizer's parameter groups of TSN and TSM, decided by canonical name and layer type.

The originals sort parameters into eight groups, of which one ("custom ops") is always empty:

    first_conv_weight 1/1 (flow 5/1)   first_conv_bias 2/0 (flow 10/0)
    weight            1/1              bias            2/0
    norm              1/0
    head_weight       5/1              head_bias       10/0     (linear layers; TRN uses 1/1 and 2/0)

The figures are factors on the learning rate and on the weight decay; without `train.multipliers` all are 1. Partial
batch norm (TSN) freezes every norm of the backbone but the first. Unlike the original, the norms of non-local blocks
are always trained: they start at zero, and a frozen zero would keep the block an identity for ever. MSN's code forgets
the kernels of its deformable convolutions, which then stay as they start; here `train.legacy_frozen_kernels` does so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from trishift.backends.contract import OptimizationPlan, ParameterPlan
from trishift.model.spec import Modality
from trishift.model.tensors import ParameterInfo
from trishift.recipe import TrainSpec


def optimization_plan(parameters: Iterable[ParameterInfo], train: TrainSpec, modality: Modality) -> OptimizationPlan:
    """What the optimizer does with every parameter of a network."""
    infos = tuple(parameters)
    frozen = frozen_norms(infos, train)
    groups = group_names(infos)
    factors = _factors(train.head_lr_mult, flow=modality == "flow")
    if not train.multipliers:
        factors = dict.fromkeys(factors, ParameterPlan(1.0, 1.0))
    left_out = frozen | frozen_kernels(infos, train)
    trained = {info.name: factors[groups[info.name]] for info in infos if info.layer_name not in left_out}
    return OptimizationPlan(
        parameters=trained,
        loss=train.loss,
        momentum=train.momentum,
        nesterov=train.nesterov,
        weight_decay=train.weight_decay,
        frozen_norms=frozen,
        clip_norm=train.clip_norm,
    )


def frozen_norms(parameters: Iterable[ParameterInfo], train: TrainSpec) -> frozenset[str]:
    """The norm layers that a recipe freezes; partial batch norm spares the first one and the non-local ones."""
    norms = [info.layer_name for info in parameters if info.layer == "norm" and info.role == "weight"]
    if train.frozen_bn:
        return frozenset(norms)
    return frozenset(name for name in norms[1:] if ".non_local." not in name and train.partial_bn)


def frozen_kernels(parameters: Iterable[ParameterInfo], train: TrainSpec) -> frozenset[str]:
    """The deformable convolutions whose kernel and bias a recipe does not train; their offsets are."""
    names = {info.layer_name for info in parameters if re.search(r"\.deformable\d$", info.layer_name)}
    return frozenset(names if train.legacy_frozen_kernels else ())


def group_names(parameters: Iterable[ParameterInfo]) -> dict[str, str]:
    """Parameter name to the name of its group (see the table above); parameters come in network order."""
    groups: dict[str, str] = {}
    first_conv = None
    for info in parameters:
        if info.layer == "norm":
            groups[info.name] = "norm"
        elif info.layer == "linear":
            groups[info.name] = f"head_{info.role}"
        else:
            first_conv = first_conv or info.layer_name
            prefix = "first_conv_" if info.layer_name == first_conv else ""
            groups[info.name] = prefix + info.role
    return groups


def describe_groups(parameters: Iterable[ParameterInfo], plan: OptimizationPlan) -> str:
    """One line that counts the trained tensors of each group."""
    counts = Counter(group for name, group in group_names(parameters).items() if name in plan.parameters)
    return ", ".join(f"{group} {count}" for group, count in counts.items())


def _factors(head: float, *, flow: bool) -> dict[str, ParameterPlan]:
    return {
        "first_conv_weight": ParameterPlan(5.0 if flow else 1.0, 1.0),
        "first_conv_bias": ParameterPlan(10.0 if flow else 2.0, 0.0),
        "weight": ParameterPlan(1.0, 1.0),
        "bias": ParameterPlan(2.0, 0.0),
        "norm": ParameterPlan(1.0, 0.0),
        "head_weight": ParameterPlan(head, 1.0),
        "head_bias": ParameterPlan(2 * head, 0.0),
    }
