"""The device that a session runs on."""

from __future__ import annotations

import torch

from trishift.errors import FrameworkError


def select_device(device: str, local_rank: int = 0) -> torch.device:
    """The torch device of an `Execution.device`.

    Raises:
        FrameworkError: there is none.
    """
    if device == "cpu":
        return torch.device("cpu")
    if device != "gpu":
        raise FrameworkError(f"device {device}: the PyTorch backend runs on cpu and gpu; set DEVICE=cpu or DEVICE=gpu")
    if not torch.cuda.is_available():
        raise FrameworkError("device gpu: torch finds no CUDA device; install a CUDA build of it or set DEVICE=cpu")
    torch.cuda.set_device(local_rank)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False  # fp32 means float32; bf16 is the fast choice
    return torch.device("cuda", local_rank)
