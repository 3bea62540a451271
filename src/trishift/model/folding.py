"""Batch norms as part of the convolutions before them, for networks that no longer learn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, Tensors, tensor_table

_EPSILON = 1e-5  # of every norm


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
    layers = [info for info in tensor_table(spec) if info.role == "weight"]
    for conv, norm in pairwise(layers):
        if (conv.layer, norm.layer) == ("conv", "norm"):
            scale, shift, mean, variance = (
                tensors[f"{norm.layer_name}.{role}"].astype(np.float64)
                for role in ("weight", "bias", "running_mean", "running_var")
            )
            scale /= np.sqrt(variance + _EPSILON)
            kernel, bias = tensors[conv.name], tensors.get(f"{conv.layer_name}.bias", np.float32(0))
            weight = kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1))
            yield FoldedConv(conv, norm, weight.astype(np.float32), (shift + scale * (bias - mean)).astype(np.float32))
