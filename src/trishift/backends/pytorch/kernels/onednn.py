"""Convolutions of oneDNN, for CPUs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class OneDNNConv(nn.Module):
    """A convolution with its activation, and optionally a sum before it, in one kernel of oneDNN.

    Attributes:
        geometry: padding, stride, dilation, groups.
        activation: name and limits, as oneDNN calls them.
        overwrites: whether the sum is written to the memory of its other term.
    """

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = conv.weight.detach().to(dtype)
        self.bias = None if conv.bias is None else conv.bias.detach().to(dtype)
        self.geometry: list[Any] = [list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups]
        self.activation: tuple[str, list[float]] = ("none", [])
        self.overwrites = False

    def forward(self, x: Tensor, term: Tensor | None = None) -> Tensor:
        """(N * T, C, H, W) to (N * T, C', H', W'); `term` is added before the activation."""
        x = x.to(self.weight.dtype, memory_format=torch.channels_last)
        if not self.weight.is_mkldnn:  # oneDNN chooses the layout by the size of the first input
            reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
            self.weight = reorder(self.weight.to_mkldnn(), *self.geometry, x.shape)
        name, limits = self.activation
        layer = (self.weight, self.bias, *self.geometry)
        if term is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *layer, name, limits, "")
        term = term.to(x.dtype, memory_format=torch.channels_last)
        rest = (*layer, "add", 1.0, None if name == "none" else name, limits, "")
        if self.overwrites:
            return torch.ops.mkldnn._convolution_pointwise_.binary(term, x, *rest)
        return torch.ops.mkldnn._convolution_pointwise.binary(x, term, *rest)
