"""CPU settings of Paddle's matrix library, which does not need Paddle."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trishift.backends import matrix_library


@pytest.mark.parametrize(
    ("vendor", "flags", "expected"),
    [
        ("AuthenticAMD", "avx2 avx512f avx512bw avx512cd avx512dq avx512vl", "7"),
        ("AuthenticAMD", "fma avx2 avx512f", "5"),
        ("AuthenticAMD", "sse4_2", None),
        ("GenuineIntel", "avx2 avx512f avx512bw avx512cd avx512dq avx512vl", None),
    ],
)
def test_cpu_type_is_set_on_amd_only(
    vendor: str, flags: str, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MKL_DEBUG_CPU_TYPE", "MKL_NUM_THREADS", "KMP_BLOCKTIME"):
        monkeypatch.setenv(name, "")  # so that monkeypatch restores what the call sets
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    (tmp_path / "cpuinfo").write_text(f"vendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n")
    matrix_library.tune(tmp_path / "cpuinfo")
    assert os.environ.get("MKL_DEBUG_CPU_TYPE") == expected
    assert (os.environ["MKL_NUM_THREADS"], os.environ["KMP_BLOCKTIME"]) == ("3", "1")


def test_user_settings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "1")
    monkeypatch.setenv("KMP_BLOCKTIME", "200")
    (tmp_path / "cpuinfo").write_text("vendor_id: AuthenticAMD\nflags: avx2\n")
    matrix_library.tune(tmp_path / "cpuinfo")
    assert matrix_library.threads() == 5
    assert (os.environ["MKL_DEBUG_CPU_TYPE"], os.environ["KMP_BLOCKTIME"]) == ("1", "200")
