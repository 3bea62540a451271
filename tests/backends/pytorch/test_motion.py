"""MSN's modules against their definitions, in PyTorch; parity gates compare the other frameworks with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.support.layer_definitions import slopes_at_rest, tap_by_tap

from trishift.backends.contract import Execution
from trishift.backends.pytorch.deformable import DeformableConv
from trishift.backends.pytorch.deformable import _sample_taps as sample_taps
from trishift.backends.pytorch.motion import MotionExcitation, MotionPyramid
from trishift.backends.pytorch.session import Session
from trishift.backends.pytorch.temporal_shift import LearnedShift, temporal_shift
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.errors import FrameworkError, RecipeError
from trishift.export.formats import FORMATS
from trishift.export.planning import ExportOptions, plan
from trishift.model.initialization import drawn_offsets
from trishift.model.motion import MotionSpec
from trishift.model.online import check_streamable
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec
from trishift.recipe import Recipe, TrainSpec
from trishift.training.initial_weights import load_initial_weights
from trishift.training.parameter_groups import optimization_plan

SMALL = ModelSpec("resnet50", 3, 4, in_channels=15, width=8, motion=MotionSpec(window=4))


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(SMALL, Execution())


def clips(count: int = 2, segments: int = 4) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, segments, 15, 32, 32), np.float32)


@pytest.mark.parametrize("size", [(5, 7), (4, 4), (1, 1), (2, 9)])
@pytest.mark.parametrize("k", [3, 5])
def test_taps_are_bilinear_and_zero_outside(size: tuple[int, int], k: int) -> None:
    rng = np.random.default_rng(0)
    x, offset = rng.standard_normal((2, 3, *size)), 2 * rng.standard_normal((2, 2 * k * k, *size))
    taps = sample_taps(torch.from_numpy(x), torch.from_numpy(offset), k)
    np.testing.assert_allclose(taps.numpy(), tap_by_tap(x, offset, k), atol=1e-12)


def test_taps_without_offsets_are_exact() -> None:
    x = torch.randn(2, 3, 6, 7)
    assert torch.equal(sample_taps(x, torch.zeros(2, 18, 6, 7), 3), F.unfold(x, 3, padding=1).unflatten(2, (6, 7)))


def test_gradient_of_zero_offsets() -> None:
    conv = DeformableConv(1, 3)
    torch.nn.init.ones_(conv.weight)
    for parameter in conv.offset.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(1, 1, 5, 6)
    conv(x).sum().backward()
    np.testing.assert_allclose(conv.offset.bias.grad, slopes_at_rest(x[0, 0].numpy(), 3), atol=1e-5)


def test_tap_gradients() -> None:
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    offset = torch.randn(1, 18, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, d: sample_taps(x, d, 3), (x, offset))


def test_learned_shift_starts_as_temporal_shift(session: Session) -> None:
    tensors = session.dump_tensors()
    shift = LearnedShift(16, 4)
    shift.weight.data.copy_(torch.from_numpy(tensors["backbone.layer2.0.learned_shift.weight"]))
    x = torch.randn(8, 16, 3, 2)
    assert torch.equal(shift(x), temporal_shift(x, 4, ShiftSpec()))


def test_learned_shift_is_a_convolution_over_time() -> None:
    shift = LearnedShift(3, 5)
    torch.nn.init.normal_(shift.weight)
    x = torch.randn(10, 3, 2, 4)
    over_time = x.unflatten(0, (2, 5)).permute(0, 3, 4, 2, 1).flatten(0, 2)
    expected = F.conv1d(over_time, shift.weight, padding=1, groups=3).unflatten(0, (2, 2, 4)).permute(0, 4, 3, 1, 2)
    torch.testing.assert_close(shift(x), expected.flatten(0, 1))


def test_pyramid_subtracts_frame_features() -> None:
    """As published: features of single frames, with biases, and then their differences."""
    pyramid = MotionPyramid(3, 16).eval()
    frames = torch.randn(2, 5, 3, 16, 20)
    first, middle, last = (F.conv2d(frames[:, i], pyramid.conv1.weight, torch.ones(4), 2, 3) for i in (0, 2, 4))
    deep_first, deep_last = (F.conv2d(x, pyramid.conv2.weight, torch.ones(16), 1, 2) for x in (first, last))
    pool = torch.nn.MaxPool2d(3, 2, 1)
    pixels = torch.cat([frames[:, i + 1] - frames[:, i] for i in range(4)], 1)
    features = torch.cat([last - middle, middle - first], 1)
    expected = (
        F.relu(pyramid.pixel_bn(pyramid.pixel_conv(pool(pixels))))
        + F.relu(pyramid.feature_bn(pyramid.feature_conv(pool(features))))
        + pool(deep_last - deep_first)
    )
    torch.testing.assert_close(pyramid(frames), expected, atol=1e-4, rtol=1e-4)


def test_excitation_mixes_segments_within_a_window_only() -> None:
    excitation = MotionExcitation(8, 4).eval()
    x = torch.randn(8, 8, 4, 4)
    changed = x.clone()
    changed[5] += 1
    touched = [t for t in range(8) if not torch.equal(excitation(x)[t], excitation(changed)[t])]
    assert touched == [4, 5, 7]  # the changes from 4 to 5 and from 5 to 6, and the mean of the window


def test_prediction_does_not_depend_on_batch_size(session: Session) -> None:
    batch = clips(3)
    np.testing.assert_allclose(session.predict(batch[1:2]), session.predict(batch)[1:2], atol=1e-6)


@pytest.mark.parametrize("execution", [Execution(channels_last=True), Execution(precision="bf16")], ids=str)
def test_layouts_and_precisions_agree(session: Session, execution: Execution) -> None:
    other = Session(SMALL, execution)
    other.load_tensors({**session.dump_tensors(), **drawn_offsets(session.spec, 0)})
    reference = Session(SMALL, Execution())
    reference.load_tensors(other.dump_tensors())
    expected = reference.predict(clips())
    tolerance = 1e-5 if execution.channels_last else 0.05
    assert np.abs(other.predict(clips()) - expected).max() < tolerance * np.abs(expected).max()


@pytest.mark.parametrize("side", [30, 33, 50])
def test_any_frame_size_works(session: Session, side: int) -> None:
    assert session.predict(np.ones((1, 4, 15, side, side + 3), np.float32)).shape == (1, 3)


def test_kernels_and_offsets_train_unless_frozen(session: Session) -> None:
    def names(**options: bool) -> set[str]:
        return set(optimization_plan(session.parameters(), TrainSpec(**options), "rgb").parameters)  # type: ignore[arg-type]

    everything = {info.name for info in session.parameters()}
    assert names() == everything
    left_out = everything - names(legacy_frozen_kernels=True)
    assert len(left_out) == 52  # two convolutions in each of 13 blocks, kernel and bias
    assert all(".deformable" in name and ".offset." not in name for name in left_out)


def test_multipliers_can_be_disabled(session: Session) -> None:
    plan = optimization_plan(session.parameters(), TrainSpec(multipliers=False), "rgb")
    assert {(p.lr_mult, p.decay_mult) for p in plan.parameters.values()} == {(1, 1)}


def test_initial_offsets(session: Session) -> None:
    tensors = session.dump_tensors()
    offsets = {name for name in tensors if ".offset." in name}
    assert len(offsets) == 52 and not any(tensors[name].any() for name in offsets)
    drawn = drawn_offsets(replace(SMALL, width=64), seed=0)
    assert set(drawn) == {name for name in offsets if name.endswith("weight")}
    deviation = drawn["backbone.layer4.0.excitation.deformable3.offset.weight"].std()
    assert deviation == pytest.approx(np.sqrt(2 / (9 * 18)), rel=0.01)


def test_image_classifier_initializes_both_streams(session: Session, tmp_path: Path) -> None:
    image = Session(ModelSpec("resnet50", 7, 1, width=8), Execution(), seed=5)
    tensors = image.dump_tensors()
    save(tmp_path / "image.safetensors", Checkpoint(tensors, image.spec, InputSpec()))
    before = session.dump_tensors()
    load_initial_weights(Recipe(model=SMALL, train=TrainSpec(new_head=True)), session, tmp_path / "image.safetensors")
    after = session.dump_tensors()
    for name, array in tensors.items():
        if not name.startswith("head."):
            np.testing.assert_array_equal(after[name], array)
    stream = [name for name in after if name.startswith("backbone.motion_layer1.") and name in before]
    assert len(stream) == 60
    for name in stream:
        image_name = name.replace("motion_layer1", "layer1")
        np.testing.assert_array_equal(after[name], tensors.get(image_name, before[name]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_channels": 3}, "in_channels to 15"),
        ({"backbone": "resnet34"}, "no bottleneck blocks; use resnet50"),
        ({"backbone": "mobilenet_v2", "width": 64}, "motion: is for ResNets, not mobilenet_v2; omit it"),
        ({"num_segments": 1}, "num_segments: MSN compares the segments of a clip; use 2 or more, not 1"),
        ({"num_segments": 6}, "4 does not divide num_segments 6; use null"),
        ({"shift": ShiftSpec()}, "omit shift"),
        ({"non_local": True}, "omit non_local"),
        ({"temporal_pool": True}, "omit temporal_pool"),
    ],
)
def test_rejects_impossible_combinations_in_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        replace(SMALL, **changes)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_mindspore_cannot_write_msn_as_onnx() -> None:
    options = ExportOptions("onnx", "mindspore")
    with pytest.raises(FrameworkError, match="cannot write deformable convolutions as ONNX; use framework pytorch"):
        plan(Checkpoint({}, SMALL, InputSpec()), FORMATS["onnx"], "mindspore", options)


def test_msn_is_not_streamable() -> None:
    with pytest.raises(RecipeError, match="its motion modules compare the segments of a clip"):
        check_streamable(SMALL)


def test_rejects_bad_msn_settings() -> None:
    with pytest.raises(RecipeError, match=r"train\.legacy_frozen_kernels: only applies to models with model\.motion"):
        Recipe(train=TrainSpec(legacy_frozen_kernels=True))
    with pytest.raises(RecipeError, match=r"motion\.stem_share: 1\.5 is not in \[0, 1\]"):
        MotionSpec(stem_share=1.5)
    with pytest.raises(RecipeError, match=r"motion\.window: 1 is too small"):
        MotionSpec(window=1)
