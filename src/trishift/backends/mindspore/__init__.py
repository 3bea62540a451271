"""The MindSpore backend (CPU and Ascend)."""

from __future__ import annotations

import os
import warnings

from trishift.errors import FrameworkError

os.environ.setdefault("GLOG_v", "3")  # log errors only: on CPUs, MindSpore warns about every missing accelerator
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        import mindspore  # noqa: F401
    except ImportError as error:
        raise FrameworkError(
            f"mindspore cannot be imported: {error}; install it, and in one process import it before torch and paddle"
        ) from error
