"""Whether the kernels of our own run here."""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec

import torch

from trishift.errors import brief

_LOG = logging.getLogger(__name__)


@cache
def has_kernels() -> bool:
    """Whether the GPU runs our kernels in Triton; a warning says why they cannot be built, once.

    CUDA builds of PyTorch bring Triton. It needs a C compiler and Python's headers, and refuses old GPUs.
    """
    if not torch.cuda.is_available() or find_spec("triton") is None:
        return False
    try:
        from trishift.backends.pytorch.kernels.products import shifted

        shifted(torch.zeros(2, 8, 1, 1, device="cuda"), 2, 1, (1, -1))
    except Exception as error:  # Triton's, the compiler's or the driver's
        _LOG.warning(
            "pytorch: the kernels of temporal shifts cannot be built (%s), so shifts are slower copies; install a C "
            "compiler and Python's headers (apt install gcc python3-dev)",
            brief(error),
        )
        return False
    return True
