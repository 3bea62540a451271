"""Processes of a data-parallel run, as described by `python -m paddle.distributed.launch` in the environment."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import paddle
import paddle.distributed as dist
from paddle import Tensor

from trishift.errors import ExecutionError


class Ranks:
    """This process's rank in the data-parallel group (rank 0 of 1 unless `distributed`).

    Tensors are exchanged through gloo on CPUs, through NCCL on GPUs.

    Raises:
        ExecutionError: `distributed` without a launcher.
    """

    def __init__(self, distributed: bool, device: str) -> None:
        self.rank, self.world_size, self.local_rank, self.address = 0, 1, 0, "127.0.0.1"
        if not distributed:
            return
        if "PADDLE_TRAINER_ID" not in os.environ:
            raise ExecutionError(
                "distributed: no launcher in the environment; start with python -m paddle.distributed.launch "
                "--nproc_per_node N, or set",
                ("distributed", False),
            )
        environment = dist.ParallelEnv()
        self.rank, self.world_size = environment.rank, environment.world_size
        self.local_rank = int(os.environ.get("PADDLE_RANK_IN_NODE", 0))
        if self.world_size > 1:
            os.environ["PADDLE_DISTRI_BACKEND"] = "nccl" if device == "gpu" else "gloo"
            dist.init_parallel_env()
            self.address = os.environ["PADDLE_TRAINER_ENDPOINTS"].partition(":")[0]

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of a tensor over all ranks."""
        if self.world_size > 1:
            tensor = tensor.detach().clone()
            dist.all_reduce(tensor)
            tensor = tensor / self.world_size
        return tensor

    def means(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The means of tensors over all ranks, in one exchange."""
        if self.world_size == 1 or not tensors:
            return list(tensors)
        flat = self.mean(paddle.concat([tensor.detach().flatten() for tensor in tensors]))
        parts = paddle.split(flat, [tensor.size for tensor in tensors])
        return [part.reshape(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Concatenate an array over all ranks along axis 0 (same shape and type on every rank)."""
        if self.world_size == 1:
            return array
        everything: list[Tensor] = []
        dist.all_gather(everything, paddle.to_tensor(np.frombuffer(array.tobytes(), np.uint8)))
        arrays = [np.frombuffer(part.numpy().tobytes(), array.dtype).reshape(array.shape) for part in everything]
        return np.concatenate(arrays)

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world_size > 1:
            float(self.mean(paddle.zeros([1])))  # the read waits for the exchange

    def close(self) -> None:
        """Leave the process group."""
        if self.world_size > 1:
            dist.destroy_process_group()
            self.world_size = 1
