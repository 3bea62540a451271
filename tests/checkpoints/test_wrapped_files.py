"""Weights inside the wrappers and containers of trainers: nested dictionaries, prefixes, copies, run folders."""

from __future__ import annotations

import logging
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from testing import originals
from testing.originals import Shapes, in_file, paddle_resnet, read, tsm_resnet

from trishift.checkpoints import Checkpoint, import_weights, inspect_weights
from trishift.checkpoints.canonical import save
from trishift.checkpoints.containers import find_state_dict
from trishift.checkpoints.files import open_weights, weight_path
from trishift.checkpoints.reading import import_file
from trishift.errors import CheckpointError
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec
from trishift.model.tensors import tensor_table

TSM = tsm_resnet(18, shift="blockres", prefix="")
PREFIXES = ["model", "module", "_orig_mod", "ema", "ema_model", "model_ema", "net", "network"]
NESTED = [
    ("state_dict",),
    ("state_dict_ema",),
    ("state", "model"),
    ("model", "state_dict"),
    ("checkpoint", "weights"),
    ("a", "b", "c", "d", "e"),
]


def prefixed(shapes: Shapes, prefix: str) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def assert_same_as_plain(found: Checkpoint, shapes: Shapes = TSM, **options: Any) -> None:
    plain = read(shapes, **options)
    assert found.spec == plain.spec
    assert {name: array.shape for name, array in found.tensors.items()} == {
        name: array.shape for name, array in plain.tensors.items()
    }
    for name, array in plain.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], array)


@pytest.mark.parametrize(
    "parts", [*((one,) for one in PREFIXES), *permutations(("model", "module", "_orig_mod", "ema"), 3)]
)
def test_prefixes_of_wrappers_in_any_order(parts: tuple[str, ...]) -> None:
    assert_same_as_plain(read(prefixed(TSM, ".".join(parts) + "."), num_segments=8), num_segments=8)


@pytest.mark.parametrize("part", ["module", "_orig_mod", "_fsdp_wrapped_module"])
def test_wrappers_inside_the_network(part: str) -> None:
    inside = {name.replace("layer2.", f"layer2.{part}."): shape for name, shape in TSM.items()}
    assert_same_as_plain(read(inside, num_segments=8), num_segments=8)


def test_an_unknown_prefix_that_all_names_share() -> None:
    assert_same_as_plain(read(prefixed(TSM, "lit.recognizer."), num_segments=8), num_segments=8)


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        (paddle_resnet(50, fluid=False, width=8), {"num_segments": 8, "shift": "blockres"}),
        ({n.removeprefix("base_model."): s for n, s in tsm_resnet(18, prefix="", head="fc").items()}, {}),
    ],
    ids=["paddlevideo", "torchvision"],
)
def test_prefixes_of_other_families(shapes: Shapes, options: dict[str, Any]) -> None:
    assert_same_as_plain(read(prefixed(shapes, "model.module."), **options), shapes, **options)


def test_moving_averages_beside_the_weights_are_skipped_and_named() -> None:
    shapes = {**prefixed(TSM, "ema_model.module."), "ema_model.n_averaged": (), **prefixed(TSM, "model.")}
    checkpoint, report = import_file(in_file(shapes), num_segments=8)
    assert {report.dropped[name] for name in prefixed(TSM, "ema_model.module.")} == {"a moving average of the weights"}
    assert set(report.names) <= set(prefixed(TSM, "model."))
    assert checkpoint.spec is not None and checkpoint.spec.shift == ShiftSpec()


@pytest.mark.parametrize("other", ["net.", "module.", "student."])
def test_rejects_two_networks_in_one_file(other: str) -> None:
    with pytest.raises(CheckpointError, match=f"unexpected {other}"):
        read({**prefixed(TSM, "model."), **prefixed(TSM, other)}, num_segments=8)


@pytest.mark.parametrize("keys", NESTED, ids=".".join)
@pytest.mark.parametrize("kind", ["zip", "legacy", "pdparams"])
def test_nested_dictionaries(keys: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    content: dict[str, Any] = {"layer.weight": np.ones((2, 2), np.float32), "layer.bias": np.zeros(2, np.float32)}
    for key in reversed(keys):
        content = {key: content, "epoch": 3, "optimizer": {"state": {"0": {"momentum_buffer": np.ones((9, 9))}}}}
    if kind == "pdparams":
        path = originals.write_pdparams(tmp_path / "w.pdparams", content)
    else:
        path = originals.write_torch(tmp_path / "w.pth", content, legacy=kind == "legacy")
    file = open_weights(path)
    assert list(file.tensors) == ["layer.weight", "layer.bias"]
    assert file.extras["epoch"] == 3
    assert file.ignored["optimizer"] == "not needed to run the model"


def test_weights_are_preferred_to_their_moving_averages() -> None:
    content = {"state_dict_ema": {"a": 1.0, "b": 2.0}, "weights": {"a": 3.0, "b": 4.0}}
    state = find_state_dict(content, lambda value: isinstance(value, float))
    assert state is not None
    assert state.tensors == content["weights"]
    assert state.ignored["state_dict_ema"] == "another dictionary of tensors than weights"


def test_dictionaries_that_contain_themselves_end() -> None:
    content: dict[Any, Any] = {}
    content.update({str(number): content for number in range(100)})
    assert find_state_dict(content, lambda value: isinstance(value, float)) is None


def test_a_lightning_file(tmp_path: Path) -> None:
    tensors = {f"model.{n}": torch.full(s, 0.5) for n, s in TSM.items()}
    content = {
        "epoch": 4,
        "global_step": 100,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": tensors,
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.ones(3)}}}],
        "hyper_parameters": {"lr": 0.1},
    }
    torch.save(content, tmp_path / "tsm_8f.ckpt")
    checkpoint, report = import_weights(tmp_path / "tsm_8f.ckpt")
    assert report.complete and checkpoint.meta["epoch"] == 4
    assert checkpoint.spec is not None and checkpoint.spec.shift == ShiftSpec()


@pytest.mark.parametrize("shapes", [TSM, paddle_resnet(50, fluid=True, width=8)])
def test_shift_direction_of_foreign_weights(shapes: Shapes) -> None:
    options = {"num_segments": 8, "shift": "blockres"}
    online = read(shapes, shift_direction="unidirectional", **options)
    assert online.spec is not None and online.spec.shift is not None
    assert online.spec.shift.direction == "unidirectional"
    assert read(shapes, **options).spec.shift.direction == "bidirectional"


def test_rejects_a_shift_direction_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="the model has no shift"):
        read(tsm_resnet(18), num_segments=8, shift_direction="unidirectional")
    with pytest.raises(CheckpointError, match="shift_direction='backwards' is unknown; one of bidirectional, uni"):
        read(TSM, num_segments=8, shift_direction="backwards")
    save(tmp_path / "own.safetensors", model_of(ModelSpec("resnet10", 2, 2, width=8, shift=ShiftSpec())))
    with pytest.raises(CheckpointError, match="shift_direction=unidirectional, but the weights say bidirectional"):
        import_weights(tmp_path / "own.safetensors", shift_direction="unidirectional")


def test_rejects_answers_that_do_not_suit_own_weights(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save(path, model_of(ModelSpec("resnet34", 2, 2, width=4, non_local=True)))
    with pytest.raises(CheckpointError, match=r"own.safetensors: size: 16 x 16 pixels are too small, the non-local"):
        import_weights(path, size=16)
    assert import_weights(path, size=(32, 48))[0].input.crop == (32, 48)
    with pytest.raises(CheckpointError, match="network=teacher, but the file holds a single network"):
        import_weights(path, network="teacher")


def model_of(spec: ModelSpec) -> Checkpoint:
    return Checkpoint(
        {t.name: np.ones(t.shape, np.float32) for t in tensor_table(spec)}, spec, InputSpec(resize=32, crop=32)
    )


def test_a_run_folder_means_its_best_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = tmp_path / "runs" / "tsm"
    run.mkdir(parents=True)
    for name, classes in (("last", 3), ("best", 2)):
        save(run / f"{name}.safetensors", model_of(ModelSpec("resnet10", classes, 2, width=8)))
    with caplog.at_level(logging.WARNING):
        assert import_weights(run)[0].spec == ModelSpec("resnet10", 2, 2, width=8)
    assert f"{run}: a run folder; its best.safetensors is used" in caplog.text
    assert inspect_weights(run).path == run / "best.safetensors"
    (run / "best.safetensors").unlink()
    assert weight_path(run) == run / "last.safetensors"
    with pytest.raises(CheckpointError, match=r"contains run folders \(tsm\); name one of them"):
        import_weights(run.parent)
