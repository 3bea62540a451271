"""Where the kernels of our own cannot be built, a warning says so, and nothing fails."""

from __future__ import annotations

import logging
import sys

import pytest
import torch

from trishift.backends.pytorch.kernels import availability


def test_kernels_that_cannot_be_built(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(availability, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "trishift.backends.pytorch.kernels.products", None)
    with caplog.at_level(logging.WARNING):
        assert not availability.has_kernels.__wrapped__()
    assert "so shifts are slower copies; install a C compiler" in caplog.text
