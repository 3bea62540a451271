from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from testing.golden_records import GOLDEN

from trishift.data import transforms
from trishift.data.sampling import uniform_eval
from trishift.data.sources import open_clip
from trishift.data.transforms import AugmentationSpec, Box
from trishift.errors import RecipeError
from trishift.model.pixels import normalization, segment_length
from trishift.model.spec import CAFFE_INPUT, InputSpec, Modality, default_input

PLAIN = InputSpec(resize=16, crop=12, scale=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def noise(frames: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(frames, height, width, 3), dtype=np.uint8)


def as_pixels(view: np.ndarray) -> np.ndarray:
    """(T, 3, H, W) of PLAIN back to (T, H, W, 3)."""
    return view.transpose(0, 2, 3, 1)


@pytest.mark.parametrize(
    ("name", "input_spec", "crops", "full_resolution"),
    [
        ("resnet_val", InputSpec(), "center", False),
        ("bninception_val", CAFFE_INPUT, "center", False),
        ("fullres_3crop", InputSpec(), "three", True),
        ("10crop", InputSpec(), "ten", False),
    ],
)
def test_pixels_match_the_originals(
    clips_dir: Path, name: str, input_spec: InputSpec, crops: transforms.Crops, full_resolution: bool
) -> None:
    record = json.loads((GOLDEN / f"preprocess_{name}.json").read_text())
    with open_clip(clips_dir / "known" / "c3d_ucf101_frames" / "v_ApplyEyeMakeup_g01_c01") as clip:
        indices = uniform_eval(clip.num_frames, 8)[0]
        assert (indices + 1).tolist() == record["frame_numbers"]
        views = transforms.evaluation_views(clip.read(indices), input_spec, crops, full_resolution)
    channels = views.reshape(-1, *views.shape[3:])
    assert list(channels.shape) == record["shape"]
    values = [channels[tuple(position)] for position in record["positions"]]
    one_gray_level = input_spec.scale / min(input_spec.std)
    np.testing.assert_allclose(values, record["values"], rtol=0, atol=one_gray_level)
    by_color = channels.reshape(-1, 3, *channels.shape[1:])
    np.testing.assert_allclose(by_color.mean(axis=(0, 2, 3)), record["channel_mean"], atol=0.01 * one_gray_level)
    np.testing.assert_allclose(by_color.std(axis=(0, 2, 3)), record["channel_std"], rtol=1e-3)


def test_resize_matches_pil() -> None:
    frames = noise(2, 40, 30)
    expected = [np.asarray(Image.fromarray(frame).resize((15, 20), Image.Resampling.BILINEAR)) for frame in frames]
    np.testing.assert_array_equal(transforms.resize(frames[:, :, ::-1][:, :, ::-1], 20, 15), expected)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(240, 320, (256, 341)), (320, 240, (341, 256)), (256, 256, (256, 256)), (1, 3, (256, 768))],
)
def test_resized_size(height: int, width: int, expected: tuple[int, int]) -> None:
    assert transforms.resized_size(height, width, (256, 256)) == expected


@pytest.mark.parametrize("channel_order", ["rgb", "bgr"])
def test_normalize(channel_order: str) -> None:
    spec = InputSpec(channel_order=channel_order)  # type: ignore[arg-type]
    frames = noise(2, 5, 4)
    ordered = frames if channel_order == "rgb" else frames[..., ::-1]
    expected = (ordered / 255 - np.array(spec.mean)) / np.array(spec.std)
    result = transforms.normalize(frames, spec)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    np.testing.assert_allclose(result, expected.transpose(0, 3, 1, 2), atol=1e-6)


@pytest.mark.parametrize("spec", [InputSpec(), CAFFE_INPUT, default_input("resnet50", "flow")], ids=str)
def test_pixels_can_be_normalized_later(spec: InputSpec) -> None:
    frames = noise(10, 5, 4)[..., : len(spec.mean)]
    stacked = transforms.stack_segments(transforms.planar(frames, spec), spec, 5)
    assert stacked.dtype == np.uint8
    expected = transforms.stack_segments(transforms.normalize(frames, spec), spec, 5)
    np.testing.assert_array_equal(normalization(spec, stacked.shape[1])(stacked), expected, strict=True)


def test_order_of_evaluation_crops() -> None:
    frames = noise(3, 16, 24)
    ten = transforms.evaluation_views(frames, PLAIN, "ten")
    assert ten.shape == (10, 3, 3, 12, 12)
    corners = [(0, 0), (0, 12), (4, 0), (4, 12), (2, 6)]  # top, left
    for number, (top, left) in enumerate(corners):
        pixels = frames[:, top : top + 12, left : left + 12]
        np.testing.assert_array_equal(as_pixels(ten[2 * number]), pixels)
        np.testing.assert_array_equal(as_pixels(ten[2 * number + 1]), pixels[:, :, ::-1])
    np.testing.assert_array_equal(transforms.evaluation_views(frames, PLAIN, "five"), ten[::2])
    np.testing.assert_array_equal(transforms.evaluation_views(frames, PLAIN, "center"), ten[8:9])


def test_three_crops_lie_along_the_long_side() -> None:
    wide = noise(1, 16, 24)
    views = transforms.evaluation_views(wide, PLAIN, "three", full_resolution=True)
    assert views.shape == (3, 1, 3, 16, 16)
    for view, left in zip(views, (0, 8, 4), strict=True):
        np.testing.assert_array_equal(as_pixels(view), wide[:, :, left : left + 16])
    tall = np.ascontiguousarray(wide.transpose(0, 2, 1, 3))
    upright = transforms.evaluation_views(tall, PLAIN, "three", full_resolution=True)
    np.testing.assert_array_equal(upright, views.swapaxes(-1, -2))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((20, 60), (10, 30)), ((20, 20), (20, 20)), ((60, 20), (60, 20)), ((10, 21), (10, 21)), ((1, 3), (10, 30))],
)
def test_resizing_covers_a_flat_size(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    assert transforms.resized_size(*shape, (10, 20)) == expected


def test_flat_views_are_height_by_width() -> None:
    flat = replace(PLAIN, resize=(10, 20), crop=(8, 12))
    wide, tall = noise(1, 10, 30), noise(1, 24, 20)
    center = transforms.evaluation_views(wide, flat)
    np.testing.assert_array_equal(as_pixels(center[0]), wide[:, 1:9, 9:21])
    five = transforms.evaluation_views(wide, flat, "five")
    corners = [(0, 0), (0, 16), (0, 0), (0, 16)]  # a spare height of 2 has no quarter: upper and lower are the same
    for view, (top, left) in zip(five, corners, strict=False):
        np.testing.assert_array_equal(as_pixels(view), wide[:, top : top + 8, left : left + 12])
    full = transforms.evaluation_views(wide, flat, "three", full_resolution=True)
    for view, left in zip(full, (0, 8, 4), strict=True):
        np.testing.assert_array_equal(as_pixels(view), wide[:, :, left : left + 20])
    full = transforms.evaluation_views(tall, flat, "three", full_resolution=True)
    for view, top in zip(full, (0, 12, 6), strict=True):  # narrower than the view, though wider than high
        np.testing.assert_array_equal(as_pixels(view), tall[:, top : top + 10])


def test_training_crops_have_the_shape_of_the_input() -> None:
    rng, augmentation = np.random.default_rng(0), AugmentationSpec(scales=(1.0, 0.5), max_distort=0)
    boxes = [transforms.draw_crop(100, 300, (64, 128), augmentation, rng) for _ in range(200)]
    assert {(box.height, box.width) for box in boxes} == {(100, 200), (50, 100)}
    assert {box.left for box in boxes if box.width == 200} == {0, 25, 50, 75, 100}
    clip, _ = transforms.train_augmentation(noise(2, 30, 50), replace(PLAIN, crop=(9, 16)), rng)
    assert clip.shape == (2, 3, 9, 16)
    smaller = AugmentationSpec(size=(8, 6))
    assert transforms.train_augmentation(noise(2, 30, 50), PLAIN, rng, smaller)[0].shape == (2, 3, 8, 6)
    for shape in [(1, 500), (500, 1), (1, 1)]:
        box = transforms.draw_crop(*shape, (200, 2), AugmentationSpec(), rng)
        assert box.height >= 1 <= box.width


def test_training_crop_positions_and_sizes() -> None:
    rng = np.random.default_rng(0)
    boxes = {transforms.draw_crop(256, 340, (224, 224), AugmentationSpec(), rng) for _ in range(8000)}
    sizes = {(box.width, box.height) for box in boxes}
    lengths = [256, 224, 192, 168]  # int(256 * scale); 224 is the network's input
    assert sizes == {(lengths[j], lengths[i]) for i in range(4) for j in range(4) if abs(i - j) <= 1}
    grid = {(0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3)}
    x, y = (340 - 192) // 4, (256 - 192) // 4
    assert {b[:2] for b in boxes if b[2:] == (192, 192)} == {(i * x, j * y) for i, j in grid}


@pytest.mark.parametrize(("short_side", "length"), [(226, 224), (227, 227), (223, 223), (258, 258)])
def test_sizes_near_the_input_snap_to_it(short_side: int, length: int) -> None:
    augmentation = AugmentationSpec(scales=(1.0,))
    box = transforms.draw_crop(short_side, 400, (224, 224), augmentation, np.random.default_rng(0))
    assert (box.width, box.height) == (length, length)


def test_augmentation_is_the_same_for_all_frames() -> None:
    frames = np.repeat(noise(1, 20, 30), 4, axis=0)
    results = [
        transforms.train_augmentation(frames, PLAIN, np.random.default_rng(seed), AugmentationSpec(scales=(0.6,)))
        for seed in range(60)
    ]
    positions = [
        Box(left, top, 12, 12) for left in (0, 4, 8, 12, 16) for top in (0, 2, 4, 6, 8)
    ]  # 0.6 of 20 pixels is the input itself: no resize
    for clip, flipped in results:
        assert clip.shape == (4, 3, 12, 12)
        pixels = as_pixels(clip)[:, :, ::-1] if flipped else as_pixels(clip)
        assert any(np.array_equal(pixels, transforms.crop(frames, box)) for box in positions)
    assert 15 < sum(flipped for _, flipped in results) < 45


def test_flip_can_be_switched_off() -> None:
    augmentation = AugmentationSpec(flip="none")
    draws = [
        transforms.train_augmentation(noise(1, 16, 16), PLAIN, np.random.default_rng(s), augmentation)
        for s in range(20)
    ]
    assert not any(flipped for _, flipped in draws)


def test_tiny_frames_work() -> None:
    frames = noise(2, 1, 1)
    assert transforms.evaluation_views(frames, InputSpec(), "ten").shape == (10, 2, 3, 224, 224)
    assert transforms.train_augmentation(frames, InputSpec(), np.random.default_rng(0))[0].shape == (2, 3, 224, 224)


@pytest.mark.parametrize("options", [{"scales": ()}, {"scales": (1.5,)}, {"max_distort": -1}])
def test_rejects_impossible_augmentation(options: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="augmentation"):
        AugmentationSpec(**options)  # type: ignore[arg-type]


def test_flipping_inverts_horizontal_flow() -> None:
    spec = default_input("bn_inception", "flow")
    flow = noise(4, 16, 24)[..., :2]
    mirrored = transforms.mirror(flow, spec)
    np.testing.assert_array_equal(mirrored[:, :, ::-1, 0], 255 - flow[..., 0])
    np.testing.assert_array_equal(mirrored[:, :, ::-1, 1], flow[..., 1])
    np.testing.assert_array_equal(transforms.mirror(mirrored, spec), flow)
    ten = transforms.evaluation_views(flow, replace(spec, resize=16, crop=16), "ten")
    assert ten.shape == (10, 4, 2, 16, 16)
    np.testing.assert_array_equal(ten[1, :, 0], -1 - ten[0, :, 0, :, ::-1])  # 128 is no motion: 255 - x - 128
    np.testing.assert_array_equal(ten[1, :, 1], ten[0, :, 1, :, ::-1])


def test_flow_is_normalized_and_resized_by_direction() -> None:
    flow = noise(2, 30, 40)[..., :2]
    resized = transforms.resize(flow, 15, 20)
    for axis in range(2):
        gray = [Image.fromarray(f).resize((20, 15), Image.Resampling.BILINEAR) for f in flow[..., axis]]
        np.testing.assert_array_equal(resized[..., axis], np.stack([np.asarray(g) for g in gray]))
    result = transforms.normalize(flow, default_input("resnet50", "flow"))
    np.testing.assert_allclose(result[:, 1], (flow[..., 1] / 255 - 0.5) / 0.226, atol=1e-6)


def test_frames_become_the_channels_of_segments() -> None:
    frames = np.random.default_rng(0).normal(size=(10, 12, 2, 4, 5)).astype(np.float32)
    flow = transforms.stack_segments(frames, default_input("resnet50", "flow"), 4)
    assert flow.shape == (10, 3, 8, 4, 5)
    np.testing.assert_array_equal(flow[:, 1, 0::2], frames[:, 4:8, 0])
    frames = np.random.default_rng(0).normal(size=(12, 3, 4, 5)).astype(np.float32)
    windows = transforms.stack_segments(frames, InputSpec(), 6)
    np.testing.assert_array_equal(windows[1, 3:6], frames[7])
    differences = transforms.stack_segments(frames, default_input("resnet50", "rgbdiff"), 6)
    assert differences.shape == (2, 15, 4, 5)
    np.testing.assert_array_equal(differences[1, 12:], frames[11] - frames[10])


@pytest.mark.parametrize(
    ("modality", "channels", "length"), [("rgb", 3, 1), ("rgb", 15, 5), ("flow", 10, 5), ("rgbdiff", 15, 6)]
)
def test_segment_length_follows_from_channels(modality: Modality, channels: int, length: int) -> None:
    assert segment_length(modality, channels) == length
    with pytest.raises(RecipeError, match="7 is not a multiple"):
        segment_length(modality, 7)
