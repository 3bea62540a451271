"""The examples in docstrings are run: each public name has one, and it prints what it says."""

from __future__ import annotations

import ast
import doctest
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support.paths import ROOT
from tests.support.tiny import write_recipe

import trishift
from trishift.backends import open_session
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.data.gestures import CLASSES
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec

SOURCE = ROOT / "src" / "trishift"
PUBLIC = {
    *(
        "load",
        "convert",
        "check",
        "Model",
        "Model.__call__",
        "Model.predict",
        "Model.features",
        "Model.stream",
        "Stream.step",
    ),
    *("Model.timeline", "find_events"),
    *("load_recipe", "ModelSpec", "ShiftSpec", "import_weights", "inspect_weights", "open_clip", "open_flow"),
    *("training_clip", "evaluation_clips", "draw_relations", "evaluation_relations", "predictions_of"),
    *("prepare_folder", "make_gestures", "read_labels", "read_list", "split_part"),
}


def docstrings(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(qualified name, docstring) of the classes and functions in a module."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield prefix + child.name, ast.get_docstring(child) or ""
            yield from docstrings(child, f"{prefix}{child.name}.")


EXAMPLES = {
    name: text
    for path in sorted(SOURCE.rglob("*.py"))
    for name, text in docstrings(ast.parse(path.read_text(encoding="utf-8")))
    if ">>>" in text
}


@pytest.fixture(scope="module")
def files(gestures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that examples read: a clip, folders of clips, a recipe and a model that is sure of its answer."""
    folder = tmp_path_factory.mktemp("examples")
    clips = sorted((gestures / "val").glob("*.mp4"))
    shutil.copy(clips[0], folder / "clip.mp4")
    for number, clip in enumerate(clips[:4]):
        target = folder / "clips" / ("wave", "clap")[number % 2] / clip.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, target)
    write_recipe(folder / "recipe.yaml", gestures)
    spec = ModelSpec("resnet10", 9, 4, width=8, shift=ShiftSpec(4, "unidirectional"))
    tensors = open_session("pytorch", spec).dump_tensors()
    tensors["head.fc.weight"] *= 0
    probabilities = np.full(9, 0.1 / 7, np.float32)
    probabilities[[CLASSES.index("Swiping Left"), CLASSES.index("Swiping Right")]] = 0.8, 0.1
    tensors["head.fc.bias"] = np.log(probabilities)
    save(folder / "model.safetensors", Checkpoint(tensors, spec, InputSpec(resize=32, crop=32), CLASSES))
    return folder


def test_every_public_name_has_an_example() -> None:
    assert set(EXAMPLES) >= PUBLIC


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_prints_what_it_says(name: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "open_flow":
        pytest.importorskip("cv2")
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    example = doctest.DocTestParser().get_doctest(EXAMPLES[name], {"np": np, "trishift": trishift}, name, None, 0)
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=report.append)
    assert result.attempted and not result.failed, "".join(report)
