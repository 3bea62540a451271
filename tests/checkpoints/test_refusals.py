"""Ambiguous, wrong and contradictory imports: errors name the option, and no problem passes silently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from testing.originals import Shapes, in_file, model_of, paddle_resnet, read, trn_head, tsm_resnet

from trishift.checkpoints.dialects import DIALECTS
from trishift.checkpoints.formats.stored import in_memory
from trishift.checkpoints.reading import import_file
from trishift.checkpoints.writing import check_expressible, foreign_tensors, write_dialect, write_native
from trishift.errors import CheckpointError
from trishift.model.spec import ModelSpec, ShiftSpec


def test_half_precision_becomes_float32_and_is_reported() -> None:
    file = in_file(tsm_resnet(18))
    half = {name: in_memory(tensor.read().astype(np.float16)) for name, tensor in file.tensors.items()}
    checkpoint, report = import_file(replace(file, tensors=half), num_segments=8)
    assert {array.dtype for array in checkpoint.tensors.values()} == {np.dtype(np.float32)}
    assert len(report.cast) == len(checkpoint.tensors)


@pytest.mark.parametrize(
    ("shapes", "option"),
    [
        (tsm_resnet(18, shift="blockres"), "num_segments"),
        (tsm_resnet(18), "num_segments"),
        (paddle_resnet(50, fluid=False), "num_segments"),
        (paddle_resnet(50, fluid=True), "num_segments"),
    ],
)
def test_ambiguity_names_the_option(shapes: Shapes, option: str) -> None:
    with pytest.raises(CheckpointError, match=rf"set {option}=... \(or --{option.replace('_', '-')} ...\)"):
        read(shapes)


@pytest.mark.parametrize("shapes", [paddle_resnet(50, fluid=fluid, width=8) for fluid in (False, True)])
def test_paddle_files_are_ambiguous_between_tsm_and_tsn(shapes: Shapes) -> None:
    with pytest.raises(CheckpointError, match="shift='blockres' for a TSM, shift='none' for a TSN"):
        read(shapes, num_segments=8)
    assert read(shapes, "TSN_k400.pdparams", num_segments=8).spec.shift is None
    assert read(shapes, "TSM_k400.pdparams", num_segments=8).spec.shift.order == "past_first"


@pytest.mark.parametrize(
    ("name", "segments"),
    [
        ("TSM_kinetics_RGB_resnet18_shift8_blockres_avg_segment16_e50.pth", 16),
        ("TSM_somethingv2_RGB_resnet18_shift8_blockres_avg_segment8_e45/ckpt.best.pth.tar", 8),
        ("tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb_20220831-64d69186.pth", 8),
        ("tsm_resnet18_12f.pth", 12),
    ],
)
def test_original_file_names_determine_num_segments(name: str, segments: int) -> None:
    checkpoint, report = import_file(in_file(tsm_resnet(18, shift="blockres"), name))
    assert checkpoint.spec.num_segments == segments
    assert f"num_segments={segments} (from the file's name)" in report.notes


def test_fallback_model_resolves_ambiguity() -> None:
    target = ModelSpec("resnet50", 3, 4, shift=ShiftSpec(order="past_first"))
    checkpoint = import_file(in_file(paddle_resnet(50, fluid=True)), fallback=target)[0]
    assert checkpoint.spec.num_segments == 4 and checkpoint.spec.shift is not None


def test_rejects_options_that_contradict_the_weights() -> None:
    with pytest.raises(CheckpointError, match="shift=none, but the weights say blockres"):
        read(tsm_resnet(18, shift="blockres"), num_segments=8, shift="none")
    trn = {**tsm_resnet(18, classes=256), **trn_head(5, 11, multiscale=True)}
    with pytest.raises(CheckpointError, match="num_segments=8, but the weights say 5"):
        read(trn, num_segments=8)
    with pytest.raises(CheckpointError, match="unknown option 'segments'"):
        read(trn, segments=8)
    with pytest.raises(CheckpointError, match="relations='some'"):
        read(trn, relations="some")
    with pytest.raises(CheckpointError, match="num_segments must be even"):
        read(tsm_resnet(18, shift="blockres", temporal_pool=True), num_segments=5)


def test_relations_can_be_chosen() -> None:
    trn = {**tsm_resnet(18, classes=256), **trn_head(5, 11, multiscale=True)}
    assert read(trn).spec.head.relations == "expected"
    assert read(trn, relations="first").spec.head.relations == "first"


def test_labels_require_a_matching_class_count(tmp_path: Path) -> None:
    assert read(tsm_resnet(18, classes=27), num_segments=8).labels[14] == "Stop Sign"
    assert read(tsm_resnet(18, classes=27), num_segments=8, labels="none").labels is None
    assert read(tsm_resnet(18, classes=174), num_segments=8).labels is None  # Something V1 or V2: never assumed
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    assert read(tsm_resnet(18, classes=2), num_segments=8, labels=str(tmp_path / "names.txt")).labels == ("one", "two")
    with pytest.raises(CheckpointError, match="27 names for 174 classes"):
        read(tsm_resnet(18, classes=174), num_segments=8, labels="jester")
    with pytest.raises(CheckpointError, match="labels"):
        read(tsm_resnet(18), num_segments=8, labels=str(tmp_path / "missing.txt"))


def broken(change: Callable[[Shapes], object]) -> Shapes:
    shapes = tsm_resnet(18, shift="blockres")
    change(shapes)
    return shapes


FC, STEM = "module.new_fc.weight", "module.base_model.conv1.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("module.base_model.layer3.1.bn2.bias"), "missing backbone.layer3.1.bn2.bias"),
        (lambda s: s.update({"module.base_model.extra.weight": (3,)}), "unexpected module.base_model.extra.weight"),
        (lambda s: s.update({FC: s[FC][::-1]}), r"needs"),
        (lambda s: s.update({STEM: (7, 7, 3, 4)}), "needs"),
        (lambda s: s.update({STEM: (4,)}), "first convolution"),
        (lambda s: s.update({"module.base_model.layer1.0.bn1.weight": (5,)}), r"has shape \(5,\), needs \(4,\)"),
    ],
)
def test_mismatched_tensors_are_named(change: Callable[[Shapes], object], message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as error:
        read(broken(change), num_segments=8)
    assert "\n" not in str(error.value)


def test_partial_import() -> None:
    shapes = broken(lambda s: (s.pop("module.base_model.layer3.1.bn2.bias"), s.update({"more": (2,)})))
    checkpoint, report = import_file(in_file(shapes), allow_partial=True, num_segments=8)
    assert "backbone.layer3.1.bn2.bias" not in checkpoint.tensors
    assert (report.missing, report.unexpected) == (["backbone.layer3.1.bn2.bias"], ["more"])
    assert "missing: backbone.layer3.1.bn2.bias" in str(report) and "unexpected: more" in str(report)


def test_rejects_integer_weights() -> None:
    file = in_file(tsm_resnet(18))
    tensors = {**file.tensors, FC: in_memory(np.zeros((7, 32), np.int8))}
    with pytest.raises(CheckpointError, match="int8"):
        import_file(replace(file, tensors=tensors), num_segments=8)


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name not in ("tsm", "m4")])
def test_rejects_wrong_dialect(dialect: str) -> None:
    shapes = tsm_resnet(50, shift="blockres")
    with pytest.raises(CheckpointError):
        read(shapes, dialect=dialect, num_segments=8, shift="blockres")


def test_unknown_dialects_and_families() -> None:
    with pytest.raises(CheckpointError, match="dialect 'caffe' is unknown; one of"):
        read(tsm_resnet(18), dialect="caffe")
    with pytest.raises(CheckpointError, match="unknown family"):
        read({"encoder.layer.0.weight": (3, 3)})


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.sampled_from(["drop", "rename", "reshape"]), st.booleans())
def test_random_damage_is_detected(random: Random, damage: str, partial: bool) -> None:
    """Damage never passes silently, and never raises anything but a clear error."""
    shapes = tsm_resnet(18, shift="blockres")
    for name in random.sample(sorted(n for n in shapes if not n.endswith("num_batches_tracked")), random.randint(1, 6)):
        shape = shapes.pop(name)
        if damage == "rename":
            position = random.randrange(len(name))
            shapes[name[:position] + random.choice("._0x") + name[position:]] = shape
        elif damage == "reshape":
            shapes[name] = tuple(random.randint(0, 3) for _ in range(random.randint(0, 5)))
    try:
        _, report = import_file(in_file(shapes), allow_partial=partial, num_segments=8)
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:
        assert partial and not report.complete


def test_rejects_writing_what_a_dialect_cannot_express() -> None:
    paddle = model_of(ModelSpec("resnet50", 5, width=4, shift=ShiftSpec(order="past_first")))
    with pytest.raises(CheckpointError, match="would read shift"):
        check_expressible(paddle, DIALECTS["tsm"])
    with pytest.raises(CheckpointError, match="has no resnet50"):
        check_expressible(paddle, DIALECTS["embedded_tsm"])
    biased = model_of(ModelSpec("resnet50", 5, width=4, non_local=True))
    biased.tensors["backbone.layer2.0.non_local.out.bias"][:] = 1
    with pytest.raises(CheckpointError, match="no counterpart"):
        foreign_tensors(biased, DIALECTS["mmaction2"])


def test_foreign_files_require_their_suffix(tmp_path: Path) -> None:
    model = model_of(ModelSpec("resnet18", 5, width=4))
    with pytest.raises(CheckpointError, match="use their suffix"):
        write_dialect(tmp_path / "w.ckpt", model, "tsm")
    with pytest.raises(CheckpointError, match=r"has the suffix '\.onnx'"):
        write_native(tmp_path / "w.onnx", model)
    assert not list(Path(tmp_path).iterdir())
