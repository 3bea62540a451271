"""CUDA graphs: the kernels of a function are recorded once and then launched together, faster than a host can."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from trishift.errors import brief

_LOG = logging.getLogger(__name__)

_WARM_UP, _KEPT = 3, 4  # calls before recording, in which cuDNN chooses its kernels; graphs in memory


class Replayed:
    """A function of tensors on a GPU that is recorded per shape of its inputs and then replayed.

    Shapes that come only a few times run as usual. Each graph keeps the memory of all feature maps; if that is not to
    be had, nothing is recorded any more. Threads may share it: a graph's inputs are filled and used by one at a time.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """`function`: returns a tensor or a sequence of tensors, and depends on nothing but its inputs."""
        self._function = function
        self._most = _KEPT
        self._lock = Lock()
        self._calls: dict[tuple[Any, ...], int] = {}
        self._graphs: dict[tuple[Any, ...], tuple[torch.cuda.CUDAGraph, list[Tensor], Any]] = {}

    def __call__(self, *inputs: Tensor) -> Any:
        """The outputs, in memory of their own."""
        kind = tuple((tensor.shape, tensor.dtype, tensor.stride()) for tensor in inputs)
        with self._lock:
            if kind not in self._graphs and self._is_due(kind):
                self._record(kind, inputs)
            if kind in self._graphs:
                return self._replay(kind, inputs)
        return self._function(*inputs)

    def _is_due(self, kind: tuple[Any, ...]) -> bool:
        self._calls[kind] = self._calls.get(kind, 0) + 1
        return self._calls[kind] > _WARM_UP and len(self._graphs) < self._most

    def _record(self, kind: tuple[Any, ...], inputs: tuple[Tensor, ...]) -> None:
        try:
            self._graphs[kind] = self._recorded(inputs)
        except RuntimeError as error:  # most likely, memory
            self._most = len(self._graphs)
            _LOG.warning("pytorch: prediction is not recorded as a CUDA graph (%s), and goes on without", brief(error))

    def _replay(self, kind: tuple[Any, ...], inputs: tuple[Tensor, ...]) -> Any:
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
