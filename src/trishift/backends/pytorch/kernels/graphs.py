"""CUDA graphs: the kernels of a function are recorded once and then launched together, faster than a host can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_WARM_UP, _KEPT = 3, 4  # calls before recording, in which cuDNN chooses its kernels; graphs in memory


class Replayed:
    """A function of tensors on a GPU that is recorded per shape of its inputs and then replayed.

    Shapes that come only a few times run as usual. Each graph keeps the memory of all feature maps.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """`function`: returns a tensor or a sequence of tensors, and depends on nothing but its inputs."""
        self._function = function
        self._calls: dict[tuple[Any, ...], int] = {}
        self._graphs: dict[tuple[Any, ...], tuple[torch.cuda.CUDAGraph, list[Tensor], Any]] = {}

    def __call__(self, *inputs: Tensor) -> Any:
        """The outputs, in memory of their own."""
        kind = tuple((tensor.shape, tensor.dtype, tensor.stride()) for tensor in inputs)
        if kind not in self._graphs:
            self._calls[kind] = self._calls.get(kind, 0) + 1
            if self._calls[kind] <= _WARM_UP or len(self._graphs) == _KEPT:
                return self._function(*inputs)
            self._graphs[kind] = self._recorded(inputs)
        graph, places, outputs = self._graphs[kind]
        for place, tensor in zip(places, inputs, strict=True):
            place.copy_(tensor)
        graph.replay()
        return [each.clone() for each in outputs] if isinstance(outputs, list | tuple) else outputs.clone()

    def _recorded(self, inputs: tuple[Tensor, ...]) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Any]:
        places = [tensor.clone() for tensor in inputs]
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may use the GPU meanwhile
            outputs = self._function(*places)
        return graph, places, outputs
