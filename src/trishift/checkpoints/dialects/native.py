"""Trishift's own networks in each framework's files: canonical layer names, the framework's names for roles.

Files written by Trishift include a description. A state dict saved directly from a network lacks it and needs options.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from trishift.checkpoints.answers import Answers
from trishift.checkpoints.dialects.base import (
    MINDSPORE_NORM,
    PADDLE_NORM,
    Dialect,
    Names,
    ask_segments,
    ask_shift,
)
from trishift.errors import CheckpointError
from trishift.model.backbones import BACKBONES
from trishift.model.spec import ModelSpec


class Native(Dialect):
    """Canonical names, as in PyTorch."""

    name = "trishift_pytorch"
    title = "Trishift network in PyTorch"
    backbones: tuple[str, ...] = tuple(BACKBONES)
    container: str | None = "state_dict"
    label_lists: tuple[str, ...] = ()

    def claims(self, names: Collection[str], extras: Mapping[str, object]) -> bool:
        """Everything under `backbone.` and `head.`."""
        return any(name.startswith("backbone.") for name in names)

    def layer_names(self, layer: str, spec: ModelSpec) -> tuple[str, ...]:
        """The canonical name."""
        return (layer,)

    def describe(self, model: ModelSpec, names: Names, answers: Answers) -> ModelSpec:
        """Ask for the shift, which names do not show."""
        if names.any(r"^head\.relations\."):
            raise CheckpointError("a relation head without a description; convert the run's .safetensors file instead")
        if names.any(r"\.motion_layer1\."):
            raise CheckpointError("an MSN or TDN without a description; convert the run's .safetensors file instead")
        model = replace(model, num_segments=ask_segments(answers, model), non_local=names.any(r"\.non_local\."))
        placement = "blockres" if BACKBONES[model.backbone].residual_blocks else "block"
        return replace(model, shift=ask_shift(answers, placement, div=int(answers.assume("shift_div", 8))))


class NativeMindSpore(Native):
    """Batch norms as gamma, beta, moving_mean and moving_variance."""

    name = "trishift_mindspore"
    title = "Trishift network in MindSpore"
    framework = "mindspore"
    norm_roles = MINDSPORE_NORM
    container: str | None = None


class NativePaddle(Native):
    """Running statistics as _mean and _variance, matrices as (in, out)."""

    name = "trishift_paddle"
    title = "Trishift network in PaddlePaddle"
    framework = "paddle"
    norm_roles = PADDLE_NORM
    transposes_linear = True
    container: str | None = None


NATIVE = {dialect.framework: dialect for dialect in (Native(), NativeMindSpore(), NativePaddle())}
