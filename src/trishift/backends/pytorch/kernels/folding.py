"""Frozen norms in training, whose work convolutions do: the same function in fewer passes over the features."""

from __future__ import annotations

from collections.abc import Container
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from trishift.model.folding import normed_convs
from trishift.model.spec import ModelSpec


def fold_frozen(network: nn.Module, spec: ModelSpec, frozen: Container[nn.Module]) -> None:
    """Let convolutions do the work of frozen norms after them while the network is in training mode.

    A norm reads and writes all features in both directions, and keeps them for the backward pass. In evaluation mode,
    and for norms that learn again, both layers compute as usual.

    Args:
        network: of `spec`, in float32.
        spec: describes the network.
        frozen: norms.
    """
    for conv, norm in normed_convs(spec):
        layer, after = network.get_submodule(conv.module), network.get_submodule(norm.module)
        if after in frozen and type(layer) is nn.Conv2d:
            _Folding(layer, after)


class _Folding:
    """A convolution, and the norm after it, which passes its input on if the convolution has done its work."""

    def __init__(self, conv: nn.Conv2d, norm: nn.Module) -> None:
        self.conv, self.norm = conv, norm
        conv.forward, norm.forward = self.convolve, self.normalize  # type: ignore[method-assign,assignment]

    def convolve(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        conv, norm = self.conv, cast(nn.BatchNorm2d, self.norm)  # or a synchronized one
        if not self._is_on():
            return type(conv).forward(conv, x)
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        mean = norm.running_mean if conv.bias is None else norm.running_mean - conv.bias
        weight, bias = conv.weight * scale[:, None, None, None], norm.bias - mean * scale
        return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)

    def normalize(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in and out."""
        return x if self._is_on() else type(self.norm).forward(self.norm, x)

    def _is_on(self) -> bool:
        return self.conv.training and not self.norm.training
