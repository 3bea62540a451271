"""PaddleVideo's light models: what their names tell, what is asked, and what is assumed aloud."""

from __future__ import annotations

from dataclasses import replace

import pytest
from testing import originals
from testing.golden_records import SPECS
from testing.originals import Shapes, in_file, model_of, read

from trishift.checkpoints.dialects import DIALECTS
from trishift.checkpoints.reading import import_file
from trishift.checkpoints.writing import foreign_tensors
from trishift.errors import CheckpointError
from trishift.model.spec import ModelSpec, ShiftSpec

ATTENTION = r"backbone.global_attention.fc"


def shapes_of(name: str) -> Shapes:
    return {key: tuple(shape) for key, shape in originals.record(name)["keys"]}


def lcnet_without_attention() -> Shapes:
    return {name: shape for name, shape in shapes_of("pptsmv2_lcnet").items() if not name.startswith(ATTENTION)}


@pytest.mark.parametrize("name", ["pptsm_mobilenetv3_8f", "pptsmv2_lcnet"])
def test_written_files_have_every_tensor_of_the_original(name: str) -> None:
    back = foreign_tensors(model_of(SPECS[name]), DIALECTS["pptsm_mobile"])
    assert {key: array.shape for key, array in back.items()} == shapes_of(name)


def test_attention_determines_num_segments() -> None:
    shapes = shapes_of("pptsmv2_lcnet")
    assert read(shapes).spec == SPECS["pptsmv2_lcnet"]
    with pytest.raises(CheckpointError, match="num_segments=8, but the weights say 16"):
        read(shapes, num_segments=8)


def test_num_segments_of_pp_tsmv2_is_asked() -> None:
    shapes = lcnet_without_attention()
    with pytest.raises(CheckpointError, match=r"the number of frames per clip, 8 or 16 .* --num-segments"):
        read(shapes)
    for found in (read(shapes, num_segments=8), read(shapes, "PPTSMv2_k400_8f.pdparams")):
        assert found.spec == ModelSpec("pp_lcnet_v2", 400, shift=ShiftSpec(order="past_first"), dropout=0.2)


def test_num_segments_of_mobilenets_is_assumed_aloud() -> None:
    checkpoint, report = import_file(in_file(shapes_of("pptsm_mobilenetv3_8f")))
    assert checkpoint.spec == SPECS["pptsm_mobilenetv3_8f"]
    assert "num_segments=8 (as in all published weights)" in report.notes
    sixteen = read(shapes_of("pptsm_mobilenetv3_8f"), num_segments=16).spec
    assert sixteen.shift == ShiftSpec(16, order="past_first") and sixteen.shift.folds(24) == (1, 2)


@pytest.mark.parametrize("prefix", ["backbone.", "0.", "Student.0."])
def test_prefixes_of_students(prefix: str) -> None:
    shapes = {name.replace("backbone.", prefix): shape for name, shape in shapes_of("pptsmv2_lcnet").items()}
    assert read(shapes).spec == SPECS["pptsmv2_lcnet"]


@pytest.mark.parametrize(
    ("shapes", "backbone"),
    [(lcnet_without_attention(), "pp_lcnet_v2"), (shapes_of("pptsm_mobilenetv3_8f"), "pp_mobilenet_v3")],
)
def test_without_a_prefix_it_is_an_image_classifier_unless_it_shifts(shapes: Shapes, backbone: str) -> None:
    bare = {name.removeprefix("backbone."): shape for name, shape in shapes.items()}
    assert read(bare).spec == ModelSpec(backbone, 400, 1, dropout=0.2)
    video = read(bare, shift="blockres", num_segments=8).spec
    assert video == ModelSpec(backbone, 400, shift=ShiftSpec(order="past_first"), dropout=0.2)


def test_networks_merged_for_an_export_are_refused() -> None:
    merged = {name: shape for name, shape in lcnet_without_attention().items() if "dw_conv_list" not in name}
    with pytest.raises(
        CheckpointError, match="merged for an export, which cannot be undone; use the file of the train"
    ):
        read(merged, num_segments=8)


def test_unknown_shift_is_refused() -> None:
    shapes = shapes_of("pptsm_mobilenetv3_8f")
    assert read(shapes, shift="none").spec == replace(SPECS["pptsm_mobilenetv3_8f"], shift=None)
    with pytest.raises(CheckpointError, match=r"^weights: shift='block', but .* family allow 'blockres' and 'none'"):
        read(shapes, shift="block")


@pytest.mark.parametrize(
    ("shapes", "name"),
    [
        (lcnet_without_attention(), "PPTSMv2_k400_16f.pdparams"),
        (shapes_of("pptsm_mobilenetv3_8f"), "ppTSM_mv3_16f.pdparams"),
        (shapes_of("pptsm_resnet50_vd_8f"), "ppTSM_16f.pdparams"),
        (originals.paddle_resnet(50, fluid=False, width=16), "TSM_16f.pdparams"),
    ],
)
def test_weights_of_16_frames_are_refused_for_8(shapes: Shapes, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"num_segments=8, .* name says 16, .* another share of the channels"):
        read(shapes, name, num_segments=8)
    kept = read(shapes, name, num_segments=8, shift_div=16).spec
    assert (kept.num_segments, kept.shift.div) == (8, 16)
    without = read(shapes, name, num_segments=8, shift="none").spec
    assert (without.num_segments, without.shift) == (8, None)


def test_attention_overrules_the_name_of_the_file() -> None:
    assert read(shapes_of("pptsmv2_lcnet"), "PPTSMv2_k400_8f.pdparams", num_segments=16).spec == SPECS["pptsmv2_lcnet"]
