"""Published models in their original files: what each framework makes of them is what their own code computed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests import originals
from tests.golden_records import SPECS
from tests.isolated import ROOT, environment

from trishift.backends import FRAMEWORKS, MODULES
from trishift.spec import HeadSpec, ModelSpec, to_json

MINDSPORE_TRN = ModelSpec("bn_inception", 27, head=HeadSpec("multiscale_relation", relations="first"))


@pytest.fixture(scope="module", params=FRAMEWORKS)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with every record's result in one framework."""
    if importlib.util.find_spec(MODULES[request.param]) is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    command = [sys.executable, "-m", "tests.golden_worker", request.param, str(folder)]
    run = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", originals.records())
def test_a_published_file_gives_its_logits(results: Path, name: str) -> None:
    result: dict[str, Any] = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
    expected = MINDSPORE_TRN if name.startswith("mindspore") else SPECS[name]
    assert result["spec"] == json.loads(json.dumps(to_json(expected)))
    assert result["complete"]
    assert result["used"]
    assert result["difference"] <= 1e-4
