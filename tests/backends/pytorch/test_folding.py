"""Convolutions that do the work of frozen norms in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from testing.weights import smooth_weights
from tests.support.sessions import assert_close

from trishift.backends.contract import Execution, MicroBatch
from trishift.backends.pytorch.session import Session
from trishift.model.spec import ModelSpec, ShiftSpec
from trishift.recipe import TrainSpec
from trishift.training.parameter_groups import optimization_plan

SPECS = {
    "resnet14": ModelSpec("resnet14", 5, 4, width=16, shift=ShiftSpec(), dropout=0.0),
    "mobilenet_v2": ModelSpec("mobilenet_v2", 5, 4, shift=ShiftSpec(), dropout=0.0),
    "bn_inception": ModelSpec("bn_inception", 5, 4, dropout=0.0),  # its convolutions have biases
}
CLIPS = np.random.default_rng(0).standard_normal((2, 4, 3, 64, 64), np.float32)
BATCH = MicroBatch(CLIPS, np.arange(2))


def session(spec: ModelSpec, *, partial_bn: bool = True, **execution: object) -> Session:
    made = Session(spec, Execution(**execution), weights=smooth_weights(spec))  # type: ignore[arg-type]
    made.prepare_training(optimization_plan(made.parameters(), TrainSpec(partial_bn=partial_bn), "rgb"))
    return made


def passes(made: Session) -> int:
    """Norms that run in a training pass."""
    with torch.profiler.profile() as profile:
        made.gradients(BATCH)
    return sum(event.name == "aten::native_batch_norm" for event in profile.events())


@pytest.mark.parametrize("name", SPECS)
def test_gradients_are_those_of_norms(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folded = session(SPECS[name])
    monkeypatch.setattr(Session, "_folds_norms", lambda self: False)
    plain = session(SPECS[name])
    (loss, gradients), (expected_loss, expected) = folded.gradients(BATCH), plain.gradients(BATCH)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    scale = max(np.abs(array).max() for array in expected.values())
    assert_close(gradients, expected, rtol=1e-3, atol=1e-5 * scale)
    assert_close({"logits": folded.predict(CLIPS)}, {"logits": plain.predict(CLIPS)}, rtol=0, atol=0)


def test_only_the_first_norm_runs() -> None:
    made = session(SPECS["resnet14"])
    assert passes(made) == 1
    made.prepare_training(optimization_plan(made.parameters(), TrainSpec(partial_bn=False), "rgb"))
    assert passes(made) > 10


def test_lower_precision_keeps_its_norms() -> None:
    assert passes(session(SPECS["resnet14"], precision="bf16", channels_last=True)) > 10
