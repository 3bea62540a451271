"""The Paddle networks compute what the published implementations compute, from the same weights."""

from __future__ import annotations

import numpy as np
import pytest
from tests.golden_records import SPECS, load_record

from trishift.backends.base import Execution
from trishift.backends.paddle.session import Session


@pytest.mark.parametrize("name", [name for name in SPECS if name != "tsm_mobilenetv2_online"])
def test_logits_equal_the_originals(name):
    record = load_record(name)
    session = Session(record.spec, Execution())
    session.load_tensors(record.tensors)
    assert record.relative_error(session.predict(record.clips)) < 1e-4


def test_unidirectional_clip_equals_the_online_original_frame_by_frame():
    record = load_record("tsm_mobilenetv2_online")
    session = Session(record.spec, Execution())
    session.load_tensors(record.tensors)
    pooled = session.features(record.clips, ["pooled"])["pooled"][0]  # (T, F)
    logits = pooled @ record.tensors["head.fc.weight"].T + record.tensors["head.fc.bias"]
    assert record.relative_error(logits) < 1e-4
    assert np.allclose(logits.mean(0), session.predict(record.clips)[0], atol=1e-5)
