"""Npz files that are written."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trishift.errors import OutputError
from trishift.io.npz import read_npz, write_npz

resource = pytest.importorskip("resource")  # not on Windows


@pytest.mark.parametrize("compressed", [True, False])
def test_a_full_disk_is_one_error_and_keeps_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, compressed: bool
) -> None:
    path, later = tmp_path / "a.npz", list[Any]()
    write_npz(path, {"values": np.arange(3)}, compressed=compressed)
    monkeypatch.setattr(sys, "unraisablehook", later.append)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match=r"a\.npz: cannot be written"):
            write_npz(path, {"values": np.random.default_rng(0).random(10_000)}, compressed=compressed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    gc.collect()
    assert not later
    assert read_npz(path, ["values"])[0].tolist() == [0, 1, 2]
