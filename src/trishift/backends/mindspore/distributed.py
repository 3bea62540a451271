"""Processes of a data-parallel run, as described by msrun in the environment."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from mindspore import Tensor, communication, ops

from trishift.errors import ExecutionError


class Ranks:
    """This process's rank in the data-parallel group (rank 0 of 1 unless `distributed`).

    Select the device first: tensors are exchanged through HCCL between NPUs, through MCCL between CPUs.

    Raises:
        ExecutionError: `distributed` without a launcher.
    """

    def __init__(self, distributed: bool, device: str) -> None:
        self.rank, self.world_size, self.local_rank, self.address = 0, 1, 0, "127.0.0.1"
        if not distributed:
            return
        if "MS_ROLE" not in os.environ:
            raise ExecutionError(
                "distributed: no launcher in the environment; start with msrun --worker_num N --local_worker_num N, "
                "or set",
                ("distributed", False),
            )
        communication.init()
        self.rank, self.world_size = communication.get_rank(), communication.get_group_size()
        self.address = os.environ["MS_SCHED_HOST"]

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of a float32 tensor over all ranks."""
        return ops.AllReduce()(tensor) / self.world_size if self.world_size > 1 else tensor

    def means(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The means of float32 tensors over all ranks, in one exchange."""
        if self.world_size == 1 or not tensors:
            return list(tensors)
        flat = self.mean(ops.concat([tensor.reshape(-1) for tensor in tensors]))
        parts = ops.split(flat, [tensor.size for tensor in tensors])
        return [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Concatenate an array over all ranks along axis 0 (same shape and type on every rank)."""
        if self.world_size == 1:
            return array
        mine = array.tobytes()
        words = np.frombuffer(mine.ljust(-(-len(mine) // 4) * 4, b"\0"), np.int32)  # MCCL cannot gather bytes
        everything = ops.AllGather()(Tensor(words.copy())).asnumpy().reshape(self.world_size, -1)
        arrays = [np.frombuffer(part.tobytes()[: len(mine)], array.dtype).reshape(array.shape) for part in everything]
        return np.concatenate(arrays)

    def barrier(self) -> None:
        """Wait for all ranks."""
        self.mean(ops.zeros(1)).asnumpy()  # the read waits for the exchange

    def close(self) -> None:
        """Leave the process group."""
        if self.world_size > 1:
            communication.release()
            self.rank, self.world_size = 0, 1
