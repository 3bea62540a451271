"""Processes of a data-parallel run, as described by torchrun in the environment."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist

from trishift.errors import ExecutionError


class Ranks:
    """This process's rank in the data-parallel group (rank 0 of 1 unless `distributed`).

    Host tensors are exchanged through gloo, CUDA tensors through NCCL.

    Raises:
        ExecutionError: `distributed` without a launcher.
    """

    def __init__(self, distributed: bool, device: str) -> None:
        self._joined = distributed
        self.rank, self.world_size, self.local_rank, self.address = 0, 1, 0, "127.0.0.1"
        if not distributed:
            return
        if "RANK" not in os.environ:
            raise ExecutionError(
                "distributed: no launcher in the environment; start with torchrun --nproc_per_node N, or set",
                ("distributed", False),
            )
        dist.init_process_group("cpu:gloo,cuda:nccl" if device == "gpu" else "gloo")
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self.local_rank = int(os.environ.get("LOCAL_RANK", self.rank))
        self.address = os.environ["MASTER_ADDR"]

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over all ranks."""
        if self.world_size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
            tensor /= self.world_size
        return tensor

    def means(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The means of tensors over all ranks, in one exchange."""
        if self.world_size == 1 or not tensors:
            return list(tensors)
        flat = self.mean(torch.cat([tensor.flatten() for tensor in tensors]))
        parts = flat.split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Concatenate an array over all ranks along axis 0 (same shape and type on every rank)."""
        if self.world_size == 1:
            return array
        mine = torch.from_numpy(np.frombuffer(array.tobytes(), np.uint8).copy())
        everything = [torch.empty_like(mine) for _ in range(self.world_size)]
        dist.all_gather(everything, mine)
        arrays = [np.frombuffer(part.numpy().tobytes(), array.dtype).reshape(array.shape) for part in everything]
        return np.concatenate(arrays)

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world_size > 1:
            dist.all_reduce(torch.zeros(1))  # on the host, so that no GPU memory is claimed

    def close(self) -> None:
        """Leave the process group."""
        if self._joined:
            dist.destroy_process_group()
            self._joined = False
