"""The tensor table compared with the networks that each framework builds."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from tests.support import isolated
from tests.support.own_tensors import MODELS

from trishift.backends import MODULES
from trishift.model.cost import num_parameters
from trishift.model.spec import ModelSpec
from trishift.model.tensors import Role, TensorInfo, parameters, tensor_shapes, tensor_table

ROLES: dict[str, Role] = {
    "gamma": "weight",
    "beta": "bias",
    **dict.fromkeys(("moving_mean", "_mean"), "running_mean"),
    **dict.fromkeys(("moving_variance", "_variance"), "running_var"),
}
ROLE_ORDER = ("weight", "bias", "running_mean", "running_var")  # frameworks order the tensors of a layer differently
Row = tuple[str, str, str, tuple[int, ...], bool]


def own_tensors(framework: str, folder: Path) -> dict[str, list[list[object]]]:
    """The rows of each model's network, as written by `tests.support.own_tensors`."""
    if importlib.util.find_spec(MODULES[framework]) is None:
        pytest.skip(f"{framework} is not installed")
    isolated.experiment("own_tensors", framework, folder / "rows.json")
    found: dict[str, list[list[object]]] = json.loads((folder / "rows.json").read_text())
    return found


def canonical(framework: str, path: str, layer: str, attribute: str, shape: list[int], trainable: bool) -> Row:
    role = ROLES.get(attribute, attribute)
    transposed = framework == "paddle" and layer == "linear" and role == "weight"
    return path, layer, role, tuple(shape[::-1] if transposed else shape), trainable


def in_layer_order(rows: list[Row]) -> list[Row]:
    layers = list(dict.fromkeys(path for path, *_ in rows))
    return sorted(rows, key=lambda row: (layers.index(row[0]), ROLE_ORDER.index(row[2])))


@pytest.mark.parametrize("framework", ["pytorch", "mindspore", "paddle"])
def test_table_matches_the_network(framework: str, tmp_path: Path) -> None:
    for model, rows in own_tensors(framework, tmp_path).items():
        found = in_layer_order([canonical(framework, *row) for row in rows])  # type: ignore[arg-type]
        table = tensor_table(MODELS[model])
        assert found == [(row.module, row.layer, row.role, row.shape, row.trainable) for row in table], model


def rows_of(model: str, part: str) -> list[TensorInfo]:
    return [row for row in tensor_table(MODELS[model]) if row.part == part]


@pytest.mark.parametrize("model", MODELS)
def test_names_are_unique_and_functions_agree(model: str) -> None:
    table = tensor_table(MODELS[model])
    assert len(tensor_shapes(MODELS[model])) == len(table)
    assert [row for row in table if row.trainable] == list(parameters(MODELS[model]))
    assert {row.group for row in table if row.trainable} >= {"first_conv_weight", "weight", "norm", "head_weight"}
    assert all(row.trainable is not row.role.startswith("running_") for row in table)


def test_options_add_their_parts() -> None:
    plain, non_local = (tensor_table(MODELS[model]) for model in ("flow", "gaussian"))
    assert {row.part for row in plain} == {"backbone", "head"}
    assert {row.part for row in non_local} == {"backbone", "non_local", "head"}
    assert all(".non_local." in row.name for row in rows_of("gaussian", "non_local"))
    assert all(row.name.startswith("head.") for row in rows_of("relation", "head"))
    deformable = {row.layer_name.rpartition(".")[2] for row in rows_of("motion", "deformable")}
    assert deformable == {"deformable3", "deformable5"}


def test_motion_tensors_are_not_in_image_classifiers() -> None:
    motion = MODELS["motion"]
    image = tensor_shapes(type(motion)("resnet14", 3, 4, width=16))
    backbone = rows_of("motion", "backbone")
    assert {row.image_tensor or row.name for row in backbone} == {
        name for name in image if not name.startswith("head.")
    }
    assert all(image[row.image_tensor or row.name] == row.shape for row in backbone)
    assert not {row.name for row in rows_of("motion", "motion")} & set(image)


@pytest.mark.parametrize(
    ("backbone", "tensors", "scalars"), [("resnet50_vd", 277, 24_346_864), ("resnet101_vd", 532, 43_338_992)]
)
def test_pp_tsm_has_as_many_numbers_as_the_original(backbone: str, tensors: int, scalars: int) -> None:
    spec = ModelSpec(backbone, 400, negative_slope=0.01)  # type: ignore[arg-type]
    assert (len(tensor_table(spec)), num_parameters(spec)) == (tensors, scalars)
