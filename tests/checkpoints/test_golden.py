"""Published models in their original files: every framework reproduces the logits of the original code.

PyTorch computes every record, the others those of `golden_worker.computes`: each network once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from testing import golden_records, originals
from testing.golden_records import SPECS
from tests.support import golden_worker, isolated
from tests.support.installed import INSTALLED

import trishift
from trishift.backends.contract import Execution
from trishift.model.serialization import to_json
from trishift.model.spec import HeadSpec, ModelSpec

MINDSPORE_TRN = ModelSpec("bn_inception", 27, head=HeadSpec("multiscale_relation", relations="first"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of all installed frameworks."""
    folder = tmp_path_factory.mktemp("golden")
    isolated.python("-m", "tests.support.golden_worker", folder, *sorted(INSTALLED))
    return folder


@pytest.mark.parametrize("name", originals.records())
def test_original_files_reproduce_their_logits(results: Path, name: str) -> None:
    result: dict[str, Any] = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
    expected = MINDSPORE_TRN if name.startswith("mindspore") else SPECS[name]
    assert result["spec"] == json.loads(json.dumps(to_json(expected)))
    assert result["complete"]
    assert result["used"]
    differences = result["differences"]
    assert differences.keys() == {each for each in INSTALLED if golden_worker.computes(each, name)}
    assert all(difference <= 1e-5 for difference in differences.values()), differences


def test_nchw_computes_the_same(tmp_path: Path) -> None:
    name = "tsm_mobilenetv2_8f"
    entry = originals.record(name)
    path = originals.write_record(entry, tmp_path)
    model = trishift.load(path, execution=Execution(channels_last=False), **golden_worker.options(name))
    expected = golden_records.logits(entry)
    found = model(golden_records.clips(entry, SPECS[name]))
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-5
