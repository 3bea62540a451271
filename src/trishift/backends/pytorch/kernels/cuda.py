"""Convolutions of NVIDIA GPUs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trishift.backends.pytorch.kernels.availability import has_kernels
from trishift.backends.pytorch.temporal_shift import TemporalShift

_CHANNELS, _FOLD = 64, 32  # the blocks of our kernel, which divide the channels of a layer and of a fold


class CudaConv(nn.Module):
    """A convolution with its activation, and optionally a shift and a sum before it.

    In reduced precision, cuDNN computes it with its activation and sum in one kernel, in NHWC; 1x1 convolutions of
    shifted features are products in a kernel of our own, which reads the features where they lie. Both are of no use in
    float32, where cuDNN is faster in NCHW.

    Attributes:
        geometry: stride, padding, dilation, groups.
        activation: name and limits, as oneDNN calls them.
        overwrites: whether the memory of a sum's other term may be used.
        shift: before the convolution, or None.
    """

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype, *, reduced: bool) -> None:
        """`reduced`: in reduced precision, which is TF32 if `dtype` is float32."""
        super().__init__()
        self._layout = torch.channels_last if reduced else torch.contiguous_format
        self.weight = conv.weight.detach().to(dtype, memory_format=self._layout)
        bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        self.bias = bias.to(dtype)
        self.geometry: list[Any] = [list(conv.stride), list(conv.padding), list(conv.dilation), conv.groups]
        self.activation: tuple[str, list[float]] = ("none", [])
        self.overwrites = False
        self.shift: TemporalShift | None = None
        self._reduced = reduced
        pointwise = self.geometry == [[1, 1], [0, 0], [1, 1], 1] and conv.kernel_size == (1, 1)
        self._shifts = reduced and pointwise and conv.out_channels % _CHANNELS == 0 and has_kernels()

    def absorb(self, shift: TemporalShift) -> bool:
        """Shift the input, if the kernel can do that; returns whether it can."""
        channels = self.weight.shape[1]
        folds = set(shift.spec.folds(channels))
        if self._shifts and channels % _FOLD == 0 and len(folds) == 1 and folds.pop() % _FOLD == 0:
            self.shift = shift
        return self.shift is not None

    def forward(self, x: Tensor, term: Tensor | None = None) -> Tensor:
        """(N * T, C, H, W) to (N * T, C', H', W'); `term` is added before the activation."""
        x = x.to(self.weight.dtype, memory_format=self._layout)
        name, limits = self.activation
        if self.shift is not None:
            if name in ("none", "relu"):
                return self._product(x, term)
            x = self.shift(x)
        if self._reduced and x.is_cuda and name == "relu":
            return self._cudnn(x, term)
        y = F.conv2d(x, self.weight, self.bias, *self.geometry)
        if term is not None:
            y = y.add_(term)
        if name == "relu":
            return y.relu_()
        return y if name == "none" else y.clamp_(*limits)

    def _product(self, x: Tensor, term: Tensor | None) -> Tensor:
        from trishift.backends.pytorch.kernels.products import shifted_product

        term = None if term is None else term.to(x.dtype, memory_format=self._layout)
        return shifted_product(x, self.weight, self.bias, term, self.shift, relu=self.activation[0] == "relu")

    def _cudnn(self, x: Tensor, term: Tensor | None) -> Tensor:
        layer = (self.bias, *self.geometry)
        if term is None:
            return torch.ops.aten.cudnn_convolution_relu(x, self.weight, *layer)
        term = term.to(x.dtype, memory_format=self._layout)
        return torch.ops.aten.cudnn_convolution_add_relu(x, self.weight, term, 1.0, *layer)
