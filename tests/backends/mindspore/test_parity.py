"""MindSpore against PyTorch: logits, losses, gradients, three training steps, statistics, graphs."""

from __future__ import annotations

import pytest
from tests.support import parity

CHOSEN = (  # every family and backbone, with and without partial batch norm; docs/parity.md has all cases
    "tsm resnet18 block",
    "tsm resnet50 non-local",
    "tsn resnet34 gaussian",
    "tsn resnet34 dot product",
    "tsn resnet34 concatenation",
    "trn resnet18 multi-scale",
    "tsm mobilenet_v2 online",
    "trn bn_inception multi-scale",
    "msn resnet14",
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[parity.Row]:
    cases = [case for case in parity.cases() if case.name in CHOSEN]
    return parity.rows("mindspore", tmp_path_factory.mktemp("parity"), cases)


@pytest.mark.parametrize("name", CHOSEN)
def test_mindspore_equals_pytorch(name, rows):
    mine = [row for row in rows if row.case == name]
    assert {"logits", "gradients", "weights", "momentum", "statistics"} <= {row.quantity for row in mine}
    assert all(row.passes for row in mine), [row for row in mine if not row.passes]
