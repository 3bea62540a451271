"""The codebases' grammars: any depth, placement, head and prefix is recognized, read and written back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from testing import originals
from testing.golden_records import SPECS
from testing.originals import Shapes, in_file, model_of, paddle_resnet, read, trn_head, tsm_resnet

from trishift.checkpoints import Checkpoint, import_weights
from trishift.checkpoints.dialects import DIALECTS
from trishift.checkpoints.writing import foreign_tensors, write_dialect, write_native
from trishift.errors import CheckpointError
from trishift.model.motion import MotionSpec, tdn
from trishift.model.spec import CAFFE_INPUT, HeadSpec, InputSpec, ModelSpec, ShiftSpec, block_names
from trishift.model.tensors import tensor_shapes, tensor_table

T = TypeVar("T")
ALL_INVERTED_RESIDUALS = tuple(f"features.{k}" for k in range(1, 18))


def origin(checkpoint: Checkpoint) -> str:
    return checkpoint.meta["origin"]["dialect"]


def constants(tensors: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the constant value of each tensor (see `originals.in_file`)."""
    return {name: float(array.flat[0]) for name, array in tensors.items()}


def without_counters(shapes: dict[str, T]) -> dict[str, T]:
    return {name: shape for name, shape in shapes.items() if not name.endswith("num_batches_tracked")}


# ---- temporal-shift-module


@st.composite
def tsm_files(draw: st.DrawFn) -> tuple[int, dict[str, Any], int]:
    depth = draw(st.sampled_from([18, 34, 50, 101, 152]))
    grammar = {
        "shift": draw(st.sampled_from(["none", "block", "blockres"])),
        "classes": draw(st.integers(1, 30).filter(lambda n: n != 27)),
        "channels": draw(st.sampled_from([3, 10, 15])),
        "non_local": depth == 50 and draw(st.booleans()),
        "temporal_pool": draw(st.booleans()),
        "prefix": draw(st.sampled_from(["module.", ""])),
        "head": draw(st.sampled_from(["new_fc", "base_model.fc"])),
    }
    return depth, grammar, 2 * draw(st.integers(1, 8))


@settings(max_examples=25)
@given(tsm_files())
def test_any_resnet_of_temporal_shift_module(file: tuple[int, dict[str, Any], int]) -> None:
    depth, grammar, segments = file
    shapes = tsm_resnet(depth, **grammar)
    checkpoint = read(shapes, num_segments=segments)
    assert origin(checkpoint) == "tsm"
    assert checkpoint.spec == ModelSpec(
        f"resnet{depth}",
        grammar["classes"],
        segments,
        in_channels=grammar["channels"],
        width=4,
        shift=None if grammar["shift"] == "none" else ShiftSpec(placement=grammar["shift"]),
        non_local=grammar["non_local"],
        temporal_pool=grammar["temporal_pool"],
    )
    assert checkpoint.input.modality == {3: "rgb", 10: "flow", 15: "rgbdiff"}[grammar["channels"]]
    assert tensor_shapes(checkpoint.spec) == {n: a.shape for n, a in checkpoint.tensors.items()}

    stored = in_file(shapes).tensors
    values = constants({name: stored[name].read() for name in without_counters(shapes)})
    assert sorted(constants(checkpoint.tensors).values()) == sorted(values.values())
    back = constants(foreign_tensors(checkpoint, DIALECTS["tsm"]))
    spelled = {f"module.{n.removeprefix('module.').replace('base_model.fc.', 'new_fc.')}": v for n, v in values.items()}
    assert back == spelled


def test_tensor_counts_match_the_originals() -> None:
    """Counted in the originals: TSM-R50 has 320 tensors, R101 626, with non-local blocks 385."""
    assert len(tsm_resnet(50, shift="blockres")) == 320
    assert len(tsm_resnet(101, shift="blockres")) == 626
    assert len(tsm_resnet(50, shift="blockres", non_local=True)) == 385


def test_custom_placement_is_kept() -> None:
    shapes = tsm_resnet(18, shift="blockres")
    first = {name.replace(".net.", ".") if ".layer4." in name else name: shape for name, shape in shapes.items()}
    placement = tuple(name for name in block_names("resnet18") if not name.startswith("layer4"))
    assert read(first, num_segments=4).spec.shift == ShiftSpec(placement=placement)


def mobilenet(name: str, change: Callable[[str], str] = str) -> Shapes:
    return {change(key): tuple(shape) for key, shape in originals.record(name)["keys"]}


@pytest.mark.parametrize(
    ("rename", "family", "spec"),
    [
        (lambda n: f"module.{n}", "tsm", ModelSpec("mobilenet_v2", 27, shift=ShiftSpec())),
        (
            lambda n: n.replace("new_fc", "base_model.classifier"),
            "tsm",
            ModelSpec("mobilenet_v2", 27, shift=ShiftSpec()),
        ),
        (lambda n: n.replace(".net.", "."), "tsm", ModelSpec("mobilenet_v2", 27)),
        (
            lambda n: re.sub(r"(features\.(?:[1-9]|1[0-7])\.conv)\.", r"\1.net.", n.replace(".net.", ".")),
            "embedded_tsm",
            ModelSpec("mobilenet_v2", 27, shift=ShiftSpec(placement=ALL_INVERTED_RESIDUALS)),
        ),
        (
            lambda n: n.replace(".net.", ".").replace("base_model.", "").replace("new_fc", "classifier"),
            "tsm_online",
            ModelSpec("mobilenet_v2", 27, shift=ShiftSpec(direction="unidirectional")),
        ),
    ],
)
def test_names_tell_mobilenets_of_equal_shapes_apart(
    rename: Callable[[str], str], family: str, spec: ModelSpec
) -> None:
    checkpoint = read(mobilenet("tsm_mobilenetv2_8f", rename), num_segments=8)
    assert (origin(checkpoint), checkpoint.spec) == (family, spec)
    assert checkpoint.labels[0] == "Doing other things" and len(checkpoint.labels) == 27
    names = set(foreign_tensors(checkpoint, DIALECTS[family]))
    spelled = {
        name.replace("classifier", "new_fc") if family == "tsm" else name
        for name in map(rename, mobilenet("tsm_mobilenetv2_8f"))
    }
    prefix = "" if family == "tsm_online" else "module."
    expected = {prefix + name.removeprefix("module.").replace("base_model.new_fc", "new_fc") for name in spelled}
    assert names == set(without_counters(dict.fromkeys(expected)))


def test_m4_is_recognized_by_its_container() -> None:
    shapes = tsm_resnet(50, shift="blockres", classes=313)
    folder = "TSM_m4dataset_RGB_resnet50_shift8_blockres_avg_segment8_e120_cos_lsep"
    checkpoint = read(shapes, f"{folder}/ckpt.best.pth.tar", extras={"best_mAP": 0.63, "epoch": 119})
    assert origin(checkpoint) == "m4"
    assert checkpoint.spec.num_segments == 8 and checkpoint.spec.shift == ShiftSpec()
    assert checkpoint.meta["metrics"] == {"best_mAP": 0.63} and checkpoint.spec.multi_label


# ---- TRN, mmaction2, Paddle, MindSpore, ImageNet


@settings(max_examples=12)
@given(st.integers(2, 9), st.booleans(), st.sampled_from([18, 50]))
def test_relations_determine_num_segments(segments: int, multiscale: bool, depth: int) -> None:
    shapes = {**tsm_resnet(depth, classes=256), **trn_head(segments, 11, multiscale=multiscale)}
    checkpoint = read(shapes)
    head = HeadSpec("multiscale_relation" if multiscale else "relation")
    assert checkpoint.spec == ModelSpec(f"resnet{depth}", 11, segments, width=4, head=head)
    assert origin(checkpoint) == "trn"
    assert set(foreign_tensors(checkpoint, DIALECTS["trn"])) == set(without_counters(shapes))


@settings(max_examples=15)
@given(st.sampled_from([50, 101, 152]), st.booleans(), st.sampled_from([4, 8, 16]), st.booleans())
def test_any_bottleneck_resnet_of_paddle(depth: int, fluid: bool, segments: int, shifts: bool) -> None:
    shapes = paddle_resnet(depth, fluid=fluid, width=16)
    checkpoint = read(shapes, num_segments=segments, shift="blockres" if shifts else "none")
    assert origin(checkpoint) == ("paddle1" if fluid else "paddlevideo")
    div = 8 if fluid else segments
    every = "blockres" if depth == 50 else block_names(f"resnet{depth}")  # the original's rule skips half of them
    shift = ShiftSpec(div=div, order="past_first", placement=every) if shifts else None
    assert checkpoint.spec == ModelSpec(f"resnet{depth}", 7, segments, width=16, shift=shift)
    assert checkpoint.tensors["head.fc.weight"].shape == (7, 512)
    back = foreign_tensors(checkpoint, DIALECTS[origin(checkpoint)])
    assert {name: array.shape for name, array in back.items()} == shapes


def window_shapes(kind: str) -> Shapes:
    """Return names and shapes of a file of MSN or TDN, without counters."""
    entry = originals.record(f"{kind}_resnet50_8f")
    return without_counters({entry["key_prefix"] + name: tuple(shape) for name, shape in entry["keys"]})


@pytest.mark.parametrize("motion", [MotionSpec(), tdn(8)], ids=lambda motion: motion.kind)
def test_files_of_msn_and_tdn_have_every_tensor_their_code_loads(motion: MotionSpec) -> None:
    model = model_of(ModelSpec(num_classes=174, in_channels=15, motion=motion))
    written = foreign_tensors(model, DIALECTS[motion.kind])
    assert {name: array.shape for name, array in written.items()} == window_shapes(motion.kind)


def test_msn_without_dropout_and_wrapper_and_with_16_segments() -> None:
    shapes = {
        name.removeprefix("module.").replace("new_fc", "base_model.fc"): s for name, s in window_shapes("msn").items()
    }
    checkpoint = read(shapes, num_segments=16)
    motion = MotionSpec(stem_share=0.25)
    assert checkpoint.spec == ModelSpec(num_classes=174, num_segments=16, in_channels=15, motion=motion)
    assert checkpoint.input == InputSpec()
    with pytest.raises(CheckpointError, match="8 does not divide num_segments 12"):
        read(shapes, num_segments=12)


def test_tdn_without_dropout_and_wrapper_and_with_other_segments() -> None:
    shapes = window_shapes("tdn").items()
    shapes = {name.removeprefix("module.").replace("new_fc", "base_model.classifier"): s for name, s in shapes}
    for segments, share in ((8, 0.5), (16, 0.25), (12, 0.25)):
        spec = read(shapes, num_segments=segments).spec
        motion = MotionSpec("tdn", None, stem_share=share, layer1_share=share)
        assert spec == ModelSpec(num_classes=174, num_segments=segments, in_channels=15, motion=motion)


def test_tdn_segments_are_asked_for_and_never_guessed() -> None:
    with pytest.raises(CheckpointError, match=r"the weights do not determine .* frames per clip; set num_segments="):
        read(window_shapes("tdn"), "best.pth.tar")
    assert read(window_shapes("tdn"), "tdn_r50_16f.pth.tar").spec.num_segments == 16
    with pytest.raises(CheckpointError, match=r"the file's name says 16, .* set num_segments=16, or rename the file"):
        read(window_shapes("tdn"), "tdn_r50_16f.pth.tar", num_segments=8)


def test_paddle_image_classifiers() -> None:
    checkpoint = read({**paddle_resnet(50, fluid=True, classes=1000), "learning_rate": (1,)})
    assert checkpoint.spec == ModelSpec("resnet50", 1000, 1, width=4)
    assert constants(checkpoint.tensors)["head.fc.bias"] == len(checkpoint.tensors) - 0.5


FAMILIES = [
    ("tsm", ModelSpec("resnet34", 5, width=4, shift=ShiftSpec(), non_local=True, temporal_pool=True)),
    ("tsm", ModelSpec("resnet18", 5, width=4, shift=ShiftSpec(placement="block"), non_local=False)),
    ("embedded_tsm", ModelSpec("mobilenet_v2", 5, shift=ShiftSpec(placement=ALL_INVERTED_RESIDUALS))),
    ("tsm_online", ModelSpec("mobilenet_v2", 5, shift=ShiftSpec(direction="unidirectional"))),
    ("msn", ModelSpec("resnet50", 5, width=8, in_channels=15, motion=MotionSpec())),
    ("msn", ModelSpec("resnet101", 5, 16, width=4, in_channels=15, motion=MotionSpec(stem_share=0.25))),
    ("tdn", ModelSpec("resnet50", 5, width=8, in_channels=15, motion=tdn(8))),
    ("tdn", ModelSpec("resnet101", 5, 16, width=8, in_channels=15, motion=tdn(16))),
    ("trn", ModelSpec("resnet18", 5, 3, width=4, head=HeadSpec("relation"))),
    ("mmaction2", ModelSpec("resnet50", 5, width=4, shift=ShiftSpec(), non_local=True)),
    ("mmaction2", ModelSpec("resnet50", 5, width=4, non_local=True, non_local_form="gaussian")),
    ("mmaction2", ModelSpec("resnet50", 5, width=4, non_local=True, non_local_form="dot_product")),
    ("mmaction2", ModelSpec("resnet50", 5, width=4, shift=ShiftSpec(), non_local=True, non_local_form="concatenation")),
    ("mmaction2", ModelSpec("resnet101", 5, width=4, shift=ShiftSpec())),
    ("mmaction2", ModelSpec("resnet50", 5, width=4, shift=ShiftSpec(placement="block"), temporal_pool=True)),
    ("mmaction2", ModelSpec("mobilenet_v2", 5, shift=ShiftSpec())),
    ("mmaction2", ModelSpec("mobilenet_v2", 5)),
    ("mmaction2", ModelSpec("resnet50", 5, width=4, head=HeadSpec("multiscale_relation"))),
    ("paddlevideo", ModelSpec("resnet34", 5, width=4)),
    ("paddle1", ModelSpec("resnet50", 5, width=16, shift=ShiftSpec(order="past_first"))),
    (
        "paddlevideo",
        ModelSpec("resnet101", 5, width=8, shift=ShiftSpec(order="past_first", placement=block_names("resnet101"))),
    ),
    ("pptsm", ModelSpec("resnet50_vd", 5, width=8, negative_slope=0.01, shift=ShiftSpec(order="past_first"))),
    ("pptsm", ModelSpec("resnet101_vd", 5, width=8, negative_slope=0.01, shift=ShiftSpec(order="past_first"))),
    ("pptsm_mobile", ModelSpec("pp_mobilenet_v2", 5, shift=ShiftSpec(order="past_first"), dropout=0.0)),
    ("pptsm_mobile", ModelSpec("pp_mobilenet_v3", 5, shift=ShiftSpec(order="past_first"), dropout=0.2)),
    ("pptsm_mobile", ModelSpec("pp_lcnet_v2", 5, shift=ShiftSpec(order="past_first"), dropout=0.2)),
    (
        "pptsm_mobile",
        ModelSpec("pp_lcnet_v2", 5, 4, shift=ShiftSpec(4, order="past_first"), temporal_attention=True, dropout=0.2),
    ),
    ("mindspore_trn", ModelSpec("bn_inception", 5, 4, head=HeadSpec("multiscale_relation"))),
    ("mindspore_tsm", ModelSpec("resnet50", 5, width=4, shift=ShiftSpec())),
    ("mindspore_tsm", ModelSpec("resnet101", 5, width=4, shift=ShiftSpec())),
    ("mindspore_tsn", ModelSpec("bn_inception", 5, in_channels=10)),
    ("torchvision", ModelSpec("mobilenet_v2", 1000, 1)),
    ("torchvision", ModelSpec("resnet152", 1000, 1, width=4)),
    ("paddle_vision", ModelSpec("resnet18", 1000, 1, width=4)),
    ("paddle_vision", ModelSpec("mobilenet_v2", 1000, 1)),
    ("timm", ModelSpec("mobilenet_v2", 1000, 1)),
    ("mindcv", ModelSpec("mobilenet_v2", 1000, 1)),
    ("mindcv", ModelSpec("resnet18", 1000, 1, width=4)),
    ("paddleclas", ModelSpec("resnet50", 1000, 1, width=4)),
    ("bn_inception", ModelSpec("bn_inception", 1000, 1)),
    ("inception_v3", ModelSpec("inception_v3", 1000, 1)),
    ("trn", ModelSpec("inception_v3", 5, 3, head=HeadSpec("multiscale_relation"))),
]


def test_pp_tsm_and_pp_tsn_have_the_same_names() -> None:
    shapes = {name: tuple(shape) for name, shape in originals.record("pptsm_resnet50_vd_8f")["keys"]}
    assumed = read(shapes, "ppTSM_k400_uniform")
    assert assumed.spec == SPECS["pptsm_resnet50_vd_8f"]
    plain = replace(SPECS["pptsm_resnet50_vd_8f"], negative_slope=0.0, shift=None)
    assert read(shapes, "ppTSN_k400").spec == plain
    assert read(shapes, shift="none").spec == plain
    assert read(shapes, shift="tsm", num_segments=16).spec.shift == ShiftSpec(16, order="past_first")
    with pytest.raises(CheckpointError, match=r"which of two networks it is: .* 'none' for a PP-TSN; .*--shift"):
        read(shapes)


def test_sizes_that_do_not_suit_the_network_are_refused() -> None:
    shapes = dict(originals.record("trn_multiscale_inceptionv3_8f_all")["keys"])
    with pytest.raises(CheckpointError, match=r"size: 224 x 224 pixels do not suit inception_v3, .* use 299, or"):
        read(shapes, size=224)
    assert read(shapes, size=(107, 75)).input.crop == (107, 75)


def test_image_weights_of_resnet_vd_have_no_prefix() -> None:
    keys = originals.record("pptsm_resnet50_vd_8f")["keys"]
    shapes = {name.removeprefix("backbone.").replace("head.fc", "out"): tuple(shape) for name, shape in keys}
    spec = read(shapes, "ResNet50_vd_ssld_v2_pretrained").spec
    assert (spec.backbone, spec.num_segments, spec.shift, spec.negative_slope) == ("resnet50_vd", 1, None, 0.0)


def non_local_shapes(form: str) -> dict[str, tuple[int, ...]]:
    spec = ModelSpec("resnet50", 5, width=4, non_local=True, non_local_form=form)
    return {name: array.shape for name, array in foreign_tensors(model_of(spec), DIALECTS["mmaction2"]).items()}


@pytest.mark.parametrize("form", ["embedded_gaussian", "dot_product"])
def test_ambiguous_non_local_form_needs_an_option(form: str) -> None:
    shapes = non_local_shapes("embedded_gaussian")  # both have the same names
    words = {"embedded_gaussian": "embedded-gaussian", "dot_product": "dot-product"}
    name = f"tsm_imagenet-pretrained-r50-nl-{words[form]}_8xb16-1x1x8-50e_kinetics400-rgb"
    assert read(shapes, name).spec.non_local_form == form
    assert read(shapes, num_segments=8, non_local_form=form).spec.non_local_form == form
    with pytest.raises(CheckpointError, match=r"--non-local-form"):
        read(shapes, num_segments=8)
    with pytest.raises(CheckpointError, match="the weights allow embedded_gaussian and dot_product"):
        read(shapes, num_segments=8, non_local_form="gaussian")


@pytest.mark.parametrize("form", ["gaussian", "concatenation"])
def test_layers_determine_other_non_local_forms(form: str) -> None:
    assert read(non_local_shapes(form), num_segments=8).spec.non_local_form == form
    with pytest.raises(CheckpointError, match=f"the weights say {form}"):
        read(non_local_shapes(form), num_segments=8, non_local_form="dot_product")


def assert_same_tensors(a: Checkpoint, b: Checkpoint) -> None:
    assert a.tensors.keys() == b.tensors.keys()
    for name, array in a.tensors.items():
        assert array.dtype == b.tensors[name].dtype
        np.testing.assert_array_equal(array, b.tensors[name])


NATIVE = (".pth", ".ckpt", ".pdparams", ".safetensors")


@pytest.mark.parametrize("number", range(len(FAMILIES)), ids=[f"{family}-{spec.backbone}" for family, spec in FAMILIES])
def test_round_trip_is_exact(number: int, tmp_path: Path) -> None:
    """From the family's file to ours and back, no bit changes; formats, which do not know families, take turns."""
    (family, spec), native = FAMILIES[number], NATIVE[number % len(NATIVE)]
    model = model_of(spec)
    suffix = {"pytorch": ".pth", "mindspore": ".ckpt", "paddle": ".pdparams"}[DIALECTS[family].framework]
    original = tmp_path / f"original{suffix}"
    write_dialect(original, model, family)
    imported, report = import_weights(original, fallback=spec)
    assert (origin(imported), imported.spec) == (family, spec)
    assert report.complete
    assert_same_tensors(imported, model)
    write_native(tmp_path / f"native{native}", imported)
    again, _ = import_weights(tmp_path / f"native{native}")
    assert_same_tensors(again, imported)
    assert (again.spec, again.input, again.labels, again.meta) == (
        imported.spec, imported.input, imported.labels, imported.meta
    )  # fmt: skip
    write_dialect(tmp_path / f"back{suffix}", again, family)
    assert_same_tensors(import_weights(tmp_path / f"back{suffix}", fallback=spec)[0], model)


def test_folders_of_paddle_1(tmp_path: Path) -> None:
    model = model_of(ModelSpec("resnet50", 5, width=16, shift=ShiftSpec(order="past_first")))
    write_dialect(tmp_path / "TSM_epoch3", model, "paddle1")
    (tmp_path / "TSM_epoch3" / "__model__").write_bytes(b"program")
    assert (tmp_path / "TSM_epoch3" / "res2a_branch2a_weights").is_file()
    checkpoint, report = import_weights(tmp_path / "TSM_epoch3", num_segments=8)  # TSM: the folder's name
    assert checkpoint.spec == model.spec
    assert report.dropped == {"__model__": "a program, not a variable"}
    assert_same_tensors(checkpoint, model)


def test_batch_norms_of_caffe_may_be_matrices() -> None:
    shapes = {t.name.removeprefix("backbone."): t.shape for t in tensor_table(ModelSpec("bn_inception"))}
    shapes = {name: (1, *shape) if "_bn." in name else shape for name, shape in shapes.items()}
    shapes |= {"fc.weight": (1000, 1024), "fc.bias": (1000,)}
    checkpoint = read(shapes)
    assert origin(checkpoint) == "bn_inception"
    assert checkpoint.spec == ModelSpec("bn_inception", 1000, 1)
    assert checkpoint.input == CAFFE_INPUT
    assert checkpoint.tensors["backbone.conv1_7x7_s2_bn.weight"].shape == (64,)


def test_a_backbone_alone() -> None:
    shapes = {t.name.removeprefix("backbone."): t.shape for t in tensor_table(ModelSpec("resnet18", width=4))}
    checkpoint = read(shapes)
    assert checkpoint.spec == ModelSpec("resnet18", 0, 1, width=4)


def test_flow_of_bn_inception_expects_flow() -> None:
    shapes = {
        f"base_model.{t.name.removeprefix('backbone.')}": t.shape
        for t in tensor_table(ModelSpec("bn_inception", in_channels=10))
    }
    shapes |= {"new_fc.weight": (101, 1024), "new_fc.bias": (101,)}
    checkpoint = read(shapes, num_segments=3, shift="none")
    assert checkpoint.input == replace(CAFFE_INPUT, modality="flow", mean=(128.0,) * 2, std=(1.0,) * 2)
