"""Fine-tuning: which head a run starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trishift.backends import open_session
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.errors import DataError
from trishift.model.spec import InputSpec, ModelSpec
from trishift.model.tensors import tensor_table
from trishift.recipe import Recipe, TrainSpec
from trishift.training.initial_weights import load_initial_weights

NAMES = ("wave", "point", "push")


@pytest.mark.parametrize(
    ("data_classes", "file_classes", "kept", "printed"),
    [
        (NAMES, NAMES, [0, 1, 2], "head: that of"),
        (("push", "wave", "point"), NAMES, [2, 0, 1], "head: that of"),
        (("push", "wave", "drop"), NAMES, None, "new head: the data set: "),
        (("push", "wave"), NAMES, None, "no head.fc.weight of shape (2, 64)"),
        (NAMES, None, [0, 1, 2], "head: that of"),
    ],
    ids=["same", "reordered", "renamed", "another number", "unnamed"],
)
def test_automatic_head(
    data_classes: tuple[str, ...],
    file_classes: tuple[str, ...] | None,
    kept: list[int] | None,
    printed: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = weights(tmp_path, file_classes)
    model = ModelSpec("resnet10", len(data_classes), 2, width=8)
    session = open_session("pytorch", model)
    drawn = session.dump_tensors()
    load_initial_weights(Recipe(model=model, train=TrainSpec(new_head="auto")), session, path, data_classes)
    found = session.dump_tensors()
    out = capsys.readouterr().out
    assert printed in out and f"{path}: its calibration is dropped" in out
    head = drawn["head.fc.bias"] if kept is None else np.float32(kept)
    np.testing.assert_array_equal(found["head.fc.bias"], head)
    assert (found["backbone.bn1.weight"] == 0.5).all()


def test_other_classes_need_a_new_head(tmp_path: Path) -> None:
    model = ModelSpec("resnet10", 3, 2, width=8)
    session = open_session("pytorch", model)
    with pytest.raises(DataError, match=r"set train\.new_head=true"):
        load_initial_weights(Recipe(model=model), session, weights(tmp_path, NAMES), ("push", "wave", "drop"))


def weights(folder: Path, labels: tuple[str, ...] | None) -> Path:
    """A calibrated file of three classes; each one's bias is its number."""
    spec = ModelSpec("resnet10", 3, 2, width=8)
    tensors = {info.name: np.full(info.shape, 0.5, np.float32) for info in tensor_table(spec)}
    tensors["head.fc.bias"] = np.arange(3, dtype=np.float32)
    meta = {"calibration": {"temperature": 2.0, "thresholds": [0.5] * 3}}
    save(folder / "weights.safetensors", Checkpoint(tensors, spec, InputSpec(resize=32, crop=32), labels, meta))
    return folder / "weights.safetensors"
