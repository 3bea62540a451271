"""A request to stop that is repeated: by a launcher, which changes nothing, and by a person, who means it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from trishift.training import interruption
from trishift.training.interruption import StopSignal

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def received() -> Iterator[list[int]]:
    """What reaches the handlers from before."""
    found: list[int] = []
    previous = {number: signal.signal(number, lambda number, frame: found.append(number)) for number in BOTH}
    yield found
    for number, handler in previous.items():
        signal.signal(number, handler)


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("first", BOTH)
def test_sigterm_again_is_the_same_request(
    first: int, received: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with StopSignal() as stop:
        assert not stop.requested
        send(first, signal.SIGTERM)
        assert stop.requested
    send(signal.SIGTERM)  # while the last lines are printed
    assert received == []
    assert capsys.readouterr().out.count("stopping after this step") == 1
    monkeypatch.setattr(interruption, "_REPEATED", 0)
    send(signal.SIGTERM, signal.SIGTERM)
    assert received == [signal.SIGTERM] * 2


def test_ctrl_c_again_stops_at_once(received: list[int]) -> None:
    with StopSignal():
        send(signal.SIGINT, signal.SIGINT)
    assert received == [signal.SIGINT]


def test_handlers_return_without_a_request(received: list[int]) -> None:
    with StopSignal() as stop:
        pass
    send(*BOTH)
    assert received == list(BOTH) and not stop.requested
