"""TDN's modules against their definitions, in PyTorch; parity gates compare the other frameworks with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from testing.weights import smooth_weights
from torch import Tensor

from trishift.backends.contract import Execution
from trishift.backends.pytorch.difference import LongTermDifference, ShortTermDifference
from trishift.backends.pytorch.session import Session
from trishift.checkpoints import Checkpoint, import_weights
from trishift.checkpoints.canonical import save
from trishift.errors import CheckpointError, RecipeError
from trishift.model.feature_maps import check_size
from trishift.model.motion import MotionSpec, tdn
from trishift.model.online import check_streamable
from trishift.model.spec import InputSpec, ModelSpec
from trishift.recipe import Recipe, TrainSpec
from trishift.training.initial_weights import load_initial_weights

SMALL = ModelSpec("resnet14", 3, 8, in_channels=15, width=8, motion=tdn(8))


def clips(count: int = 2, segments: int = 8) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, segments, 15, 48, 64), np.float32)


def test_short_term_module_maps_the_differences_of_half_size() -> None:
    module = ShortTermDifference(3, 16).eval()
    frames = torch.randn(2, 5, 3, 32, 40)
    small = F.avg_pool2d(frames.flatten(0, 1), 2).unflatten(0, (2, 5))
    differences = torch.cat([small[:, i + 1] - small[:, i] for i in range(4)], 1)  # oldest first
    expected = F.max_pool2d(F.relu(module.bn(F.conv2d(differences, module.conv.weight, None, 2, 3))), 3, 2, 1)
    torch.testing.assert_close(module(frames), expected)


def gate(module: LongTermDifference, change: Tensor) -> Tensor:
    """As published, with the pixel that each position of the enlarged map repeats."""
    height, width = change.shape[2:]
    rows, columns = ([i * (side // 2) // side for i in range(side)] for side in (height, width))
    small = module.pooled_bn(module.pooled(F.avg_pool2d(change, 2)))[:, :, rows][:, :, :, columns]
    whole = module.whole_bn(module.whole(change))
    return module.expand_bn(module.expand((change + small + whole) / 3)).sigmoid() - 0.5


@pytest.mark.parametrize("size", [(6, 4), (7, 5)])
def test_long_term_module_gates_by_the_changes_to_both_neighbors(size: tuple[int, int]) -> None:
    module = LongTermDifference(32, 3).eval()
    x = torch.randn(6, 32, *size)
    u = module.reduce_bn(module.reduce(x))
    v = module.depthwise(u)
    for clip in (0, 3):
        for t in range(3):
            at, none = slice(clip + t, clip + t + 1), torch.zeros_like(u[:1])
            following = v[clip + t + 1][None] - u[at] if t < 2 else none
            previous = v[clip + t - 1][None] - u[at] if t > 0 else none
            expected = x[at] + x[at] * (0.5 * gate(module, following) + 0.5 * gate(module, previous))
            torch.testing.assert_close(module(x)[at], expected, atol=1e-5, rtol=1e-5)


def test_both_directions_update_the_statistics_one_after_the_other() -> None:
    module = LongTermDifference(32, 2).train()
    module(torch.randn(4, 32, 4, 4))
    assert [norm.num_batches_tracked.item() for norm in (module.reduce_bn, module.expand_bn)] == [1, 2]


def test_published_shares_depend_on_the_segments() -> None:
    assert [tdn(segments).stem_share for segments in (8, 16, 4)] == [0.5, 0.25, 0.25]
    one, other = (Session(replace(SMALL, motion=motion), Execution()) for motion in (tdn(8), tdn(16)))
    weights = smooth_weights(SMALL)
    one.load_tensors(weights)
    other.load_tensors(weights)
    expected = one.predict(clips())
    assert np.abs(other.predict(clips()) - expected).max() > 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("execution", [Execution(channels_last=True), Execution(precision="bf16")], ids=str)
def test_layouts_and_precisions_agree(execution: Execution) -> None:
    weights, found = smooth_weights(SMALL), []
    for each in (Execution(), execution):
        session = Session(SMALL, each)
        session.load_tensors(weights)
        found.append(session.predict(clips()))
    tolerance = 1e-5 if execution.channels_last else 0.05
    assert np.abs(found[1] - found[0]).max() < tolerance * np.abs(found[0]).max()


def test_image_classifier_initializes_the_motion_map(tmp_path: Path) -> None:
    image = Session(ModelSpec("resnet14", 7, 1, width=8), Execution(), seed=5)
    tensors = image.dump_tensors()
    save(tmp_path / "image.safetensors", Checkpoint(tensors, image.spec, InputSpec()))
    session = Session(SMALL, Execution())
    load_initial_weights(Recipe(model=SMALL, train=TrainSpec(new_head=True)), session, tmp_path / "image.safetensors")
    found = session.dump_tensors()
    mean = tensors["backbone.conv1.weight"].mean(axis=1, keepdims=True)
    np.testing.assert_array_equal(found["backbone.short_term.conv.weight"], np.repeat(mean, 12, axis=1))
    for name in ("conv1.weight", "bn1.weight", "bn3.bias"):
        image_name = f"backbone.layer1.0.{name}"
        np.testing.assert_array_equal(found[image_name.replace("layer1", "motion_layer1")], tensors[image_name])


def test_weights_of_16_segments_do_not_start_a_training_of_8(tmp_path: Path) -> None:
    other = replace(SMALL, num_segments=16, motion=tdn(16))
    save(tmp_path / "16.safetensors", Checkpoint(smooth_weights(other), other, InputSpec()))
    session = Session(SMALL, Execution())
    with pytest.raises(CheckpointError, match=r"16\.safetensors: its TDN fuses motion for 16 segments, .* set "):
        load_initial_weights(Recipe(model=SMALL), session, tmp_path / "16.safetensors")
    with pytest.raises(CheckpointError, match="num_segments=8, but the weights say 16"):
        import_weights(tmp_path / "16.safetensors", num_segments=8)


def test_refuses_what_tdn_cannot_do() -> None:
    with pytest.raises(RecipeError, match=r"motion\.window: TDN compares all segments of a clip, not 8; use null"):
        MotionSpec("tdn")
    with pytest.raises(RecipeError, match="width: 4 leaves TDN's motion modules no channels; use 8 or more"):
        replace(SMALL, width=4)
    with pytest.raises(RecipeError, match="crop: 32 x 48 pixels are too small, TDN's motion modules"):
        check_size(SMALL, (32, 48), "crop")
    check_size(SMALL, (33, 48))
    with pytest.raises(RecipeError, match="its motion modules compare the segments of a clip"):
        check_streamable(SMALL)
    with pytest.raises(RecipeError, match=r"only applies to models with model\.motion\.kind msn"):
        Recipe(model=SMALL, train=TrainSpec(legacy_frozen_kernels=True))
