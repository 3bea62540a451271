"""Golden logits in MindSpore; `test_mindspore_golden.py` runs these tests in a process of their own."""

from __future__ import annotations

import pytest
from tests.golden_records import SPECS, load_record

from trishift.backends.base import Execution
from trishift.backends.mindspore.session import Session

TWINS = {"tsn_resnet50_8f", "mmaction2_tsm_resnet50_8f"}  # the network of other records, with other weights
SLOW = {"msn_resnet50_8f"}  # read from its original file in test_checkpoints_golden.py, which is enough
CLIP_RECORDS = [name for name in SPECS if name not in TWINS | SLOW | {"tsm_mobilenetv2_online"}]


@pytest.mark.parametrize("name", CLIP_RECORDS)
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
