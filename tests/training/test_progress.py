"""Results are read late but completely, and the live line says how training is going."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from trishift.backends.contract import StepResult
from trishift.errors import TrainingError
from trishift.training.progress import EpochProgress
from trishift.training.results import Results, Step
from trishift.training.sinks import MetricsLog, read_metrics


class Scalar:
    """A number on a device, which counts how often anything waits for it."""

    waits = 0

    def __init__(self, value: float) -> None:
        self._value = value

    def __float__(self) -> float:
        Scalar.waits += 1
        return self._value


def step(number: int, loss: float) -> Step:
    return Step(2, number, 100 + number, 0.1, StepResult(Scalar(loss), Scalar(1.5)))


@pytest.mark.parametrize(("device", "waits"), [("cpu", 24), ("gpu", 22)])
def test_gpu_is_asked_rarely_and_nothing_is_lost(tmp_path: Path, device: str, waits: int) -> None:
    Scalar.waits = 0
    log = MetricsLog(tmp_path)
    results = Results(log, device)
    for number in range(1, 13):
        results.add(step(number, 3 - number / 8))
        assert results.losses
    assert Scalar.waits == waits
    results.read()
    log.close()
    assert [(r["iteration"], r["loss"]) for r in read_metrics(tmp_path, "train")] == [
        (100 + number, 3 - number / 8) for number in range(1, 13)
    ]


def test_first_loss_that_is_not_finite_is_named(tmp_path: Path) -> None:
    results = Results(None, "gpu", lambda: "; the last checkpoint is intact")
    for number, loss in enumerate([1.0, 0.9, np.inf, np.nan], 1):
        results.add(step(number, loss))
    message = r"the loss is inf at epoch 2, step 3 \(lr 0.1\): lower train.lr .*; the last checkpoint is intact"
    with pytest.raises(TrainingError, match=message):
        results.read()
    assert results.losses == [1.0, 0.9]


def test_live_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with EpochProgress("epoch 2/3", 12, 10, clips=8, later=12, memory=lambda: 3 * 2**29) as progress:
        now = 5.0
        for index, _ in progress.track(iter("ab")):
            now += 15.0
            progress.step(0.5 / (index - 9), 0.75)
            now += 10.0
        assert (progress.waited, progress.stepped) == (10, 30)
        figures = "loss 0.2500, training top-1 75.0%, 0.4 clips/s, waiting for data 25%, 1.5 GB, 4m left"
        assert capsys.readouterr().err == f"epoch 2/3: 12 of 12, {figures}\n"
        progress.step(0.25)
        assert progress.note().startswith("loss 0.2500, ")  # with several labels per clip, there is no accuracy


def test_means_of_an_epoch() -> None:
    results = Results(None, "cpu")
    for number, accuracy in enumerate([0.25, 0.75], 1):
        results.add(Step(1, number, number, 0.1, StepResult(2.0 / number, accuracy=accuracy)))
    assert results.means() == {"loss": 1.5, "top1": 0.5}
    several = Results(None, "cpu")
    several.add(step(1, 2.0))
    assert several.means() == {"loss": 2.0}
