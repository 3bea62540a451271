"""Published models in their original files: every framework reproduces the logits of the original code."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from testing import golden_records, originals
from testing.golden_records import SPECS
from tests.support import golden_worker, isolated

import trishift
from trishift.backends import FRAMEWORKS, MODULES
from trishift.backends.contract import Execution
from trishift.model.serialization import to_json
from trishift.model.spec import HeadSpec, ModelSpec

MINDSPORE_TRN = ModelSpec("bn_inception", 27, head=HeadSpec("multiscale_relation", relations="first"))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Map a framework to the folder with its results."""

    @cache
    def examined(framework: str) -> Path:
        folder = tmp_path_factory.mktemp(framework)
        isolated.python("-m", "tests.support.golden_worker", framework, folder)
        return folder

    return examined


@pytest.mark.parametrize("name", originals.records())
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_original_files_reproduce_their_logits(results: Callable[[str], Path], framework: str, name: str) -> None:
    if importlib.util.find_spec(MODULES[framework]) is None:
        pytest.skip(f"{framework} is not installed")
    result: dict[str, Any] = json.loads((results(framework) / f"{name}.json").read_text(encoding="utf-8"))
    expected = MINDSPORE_TRN if name.startswith("mindspore") else SPECS[name]
    assert result["spec"] == json.loads(json.dumps(to_json(expected)))
    assert result["complete"]
    assert result["used"]
    assert result["difference"] <= 1e-4


def test_channels_last_computes_the_same(tmp_path: Path) -> None:
    name = "tsm_mobilenetv2_8f"
    entry = originals.record(name)
    path = originals.write_record(entry, tmp_path)
    model = trishift.load(path, execution=Execution(channels_last=True), **golden_worker.options(name))
    expected = golden_records.logits(entry)
    found = model(golden_records.clips(entry, SPECS[name]))
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-4
