"""Copies to a GPU begin ahead, in a stream of their own, and only the computation that needs one waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from trishift.backends.pytorch.copies import Copies

FIRST, SECOND, THIRD = (np.full(2, value, np.float32) for value in (1, 2, 3))


class FakeStream:
    """A stream that only records what is asked of it."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self._calls, self._events = name, calls, 0

    def record_event(self) -> str:
        self._events += 1
        return f"copy {self._events}"

    def wait_event(self, event: str) -> None:
        self._calls.append(f"{self.name} waits for {event}")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of a GPU that does not exist."""
    calls: list[str] = []
    present = FakeStream("computation", calls)
    inside: list[str] = []

    @contextmanager
    def stream(entered: FakeStream) -> Iterator[None]:
        inside.append(entered.name)
        yield
        inside.pop()

    def to(tensor: torch.Tensor, device: str, non_blocking: bool) -> torch.Tensor:
        calls.append(f"{inside[-1]}: {tensor[0]:g} to {device}, {'host goes on' if non_blocking else 'host waits'}")
        return tensor

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        calls.append(f"pin {tensor[0]:g}")
        return tensor

    def kept(tensor: torch.Tensor, stream: FakeStream) -> None:
        calls.append(f"{tensor[0]:g} kept for {stream.name}")

    fakes: dict[tuple[Any, str], Any] = {
        (torch.cuda, "Stream"): lambda device: FakeStream("copies", calls),
        (torch.cuda, "stream"): stream,
        (torch.cuda, "current_stream"): lambda device: present,
        (torch.Tensor, "to"): to,
        (torch.Tensor, "pin_memory"): pin,
        (torch.Tensor, "record_stream"): kept,
    }
    for (owner, name), fake in fakes.items():
        monkeypatch.setattr(owner, name, fake)
    return calls


def test_next_array_is_on_its_way_while_this_one_is_computed(calls: list[str]) -> None:
    copies = Copies("cuda:0")
    copies.begin(FIRST)
    copies.begin(SECOND)
    assert copies.take(FIRST)[0] == 1
    calls.append("compute 1")
    copies.begin(THIRD)
    assert copies.take(SECOND)[0] == 2
    calls.append("compute 2")
    assert calls == [
        *("pin 1", "copies: 1 to cuda:0, host goes on", "pin 2", "copies: 2 to cuda:0, host goes on"),
        *("computation waits for copy 1", "1 kept for computation", "compute 1"),
        *("pin 3", "copies: 3 to cuda:0, host goes on"),
        *("computation waits for copy 2", "2 kept for computation", "compute 2"),
    ]


def test_arrays_that_were_not_announced_are_copied_too(calls: list[str]) -> None:
    copies = Copies("cuda:0")
    copies.begin(FIRST)
    equal = FIRST.copy()  # another array, whatever it contains
    assert copies.take(equal)[0] == 1
    assert calls[2:4] == ["pin 1", "copies: 1 to cuda:0, host goes on"]
    assert calls[4] == "computation waits for copy 2"


def test_copies_on_the_cpu_are_the_arrays() -> None:
    copies = Copies("cpu")
    copies.begin(FIRST)
    tensor = copies.take(FIRST)
    assert tensor.data_ptr() == FIRST.ctypes.data
