"""Copies of arrays on the device, beside its computation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Copies:
    """Copies arrays to a device: see `contract.Copies`.

    On a GPU, copies start from pinned memory, for which the host does not wait, and run in a stream of their own, so
    that the GPU computes meanwhile. Only the computation that needs an array waits for its copy.
    """

    def __init__(self, device: str) -> None:
        """`device`: its name in the framework."""
        self._device = device
        self._stream = None if device == "cpu" else torch.cuda.Stream(device)
        self._begun: dict[int, tuple[np.ndarray, Tensor, torch.cuda.Event | None]] = {}

    def begin(self, array: np.ndarray) -> None:
        """Begin to copy an array that `take` is going to ask for; of those not taken, the last two are kept."""
        self._begun = {**dict([*self._begun.items()][-1:]), id(array): (array, *self._started(array))}

    def take(self, array: np.ndarray) -> Tensor:
        """The copy of an array, which computation can use from now on."""
        begun = self._begun.pop(id(array), None)
        tensor, copied = self._started(array) if begun is None else begun[1:]
        if copied is not None:
            present = torch.cuda.current_stream(self._device)
            present.wait_event(copied)
            tensor.record_stream(present)  # its memory is not used again before the computation is over
        return tensor

    def _started(self, array: np.ndarray) -> tuple[Tensor, torch.cuda.Event | None]:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self._stream is None:
            return tensor, None
        with torch.cuda.stream(self._stream):
            copy = tensor.pin_memory().to(self._device, non_blocking=True)
        return copy, self._stream.record_event()
