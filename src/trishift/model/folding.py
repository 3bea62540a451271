"""Convolutions that do the work of their neighbors: of norms that no longer learn, and of shifts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from trishift.model.backbones import BACKBONES
from trishift.model.spec import ModelSpec, ShiftSpec
from trishift.model.tensors import TensorInfo, Tensors, tensor_table

_EPSILON = 1e-5  # of every norm


def normed_convs(spec: ModelSpec) -> Iterator[tuple[TensorInfo, TensorInfo]]:
    """The rows of the weights of every convolution that a norm follows, and of that norm."""
    layers = [info for info in tensor_table(spec) if info.role == "weight"]
    for conv, norm in pairwise(layers):
        if (conv.layer, norm.layer) == ("conv", "norm"):
            yield conv, norm


@dataclass(frozen=True, eq=False)
class FoldedConv:
    """A convolution that also does the work of the norm after it.

    Attributes:
        conv, norm: the rows of their weights.
        weight: the kernel, in canonical shape.
        bias: (C,).
    """

    conv: TensorInfo
    norm: TensorInfo
    weight: np.ndarray
    bias: np.ndarray


def folded_convs(spec: ModelSpec, tensors: Tensors) -> Iterator[FoldedConv]:
    """Fold every norm that follows a convolution in a network: norm(W * x + b) = (s W) * x + s (b - mean) + shift."""
    for conv, norm in normed_convs(spec):
        scale, shift, mean, variance = (
            tensors[f"{norm.layer_name}.{role}"].astype(np.float64)
            for role in ("weight", "bias", "running_mean", "running_var")
        )
        scale /= np.sqrt(variance + _EPSILON)
        kernel, bias = tensors[conv.name], tensors.get(f"{conv.layer_name}.bias", np.float32(0))
        weight = kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1))
        yield FoldedConv(conv, norm, weight.astype(np.float32), (shift + scale * (bias - mean)).astype(np.float32))


@dataclass(frozen=True, eq=False)
class SplitConv:
    """A 1x1 convolution that shifts on its own, without a shifted copy: W shift(x) + b = V x + U shift(z) + b.

    z are the M channels of x that move, U their columns of W, and V is W with zeros in these columns. So only z is
    copied, a quarter of x, for as much more arithmetic.

    Attributes:
        shift_path: path of the shift before it.
        folded: the convolution with its norm: W and b.
        staying: V, (C', C, 1, 1).
        moving: U, (C', M, 1, 1).
        shift: of z, whose channels all move.
    """

    shift_path: str
    folded: FoldedConv
    staying: np.ndarray
    moving: np.ndarray
    shift: ShiftSpec


def split_convs(spec: ModelSpec, tensors: Tensors) -> Iterator[SplitConv]:
    """Split the 1x1 convolution after each shift, if nothing else reads the shifted features."""
    shift = spec.shift
    if shift is None or spec.shifts_identity or not BACKBONES[spec.backbone].residual_blocks:
        return
    convs = list(folded_convs(spec, tensors))
    for block in (f"backbone.{name}" for name in spec.shifted_blocks):
        conv = next(conv for conv in convs if conv.conv.module.startswith(f"{block}."))
        folds = shift.folds(conv.weight.shape[1])
        moved = sum(folds)
        if moved and len(set(folds)) == 1 and conv.weight.shape[2:] == (1, 1):
            staying = conv.weight.copy()
            staying[:, :moved] = 0
            moving = np.ascontiguousarray(conv.weight[:, :moved])
            yield SplitConv(f"{block}.shift", conv, staying, moving, replace(shift, div=len(folds)))
