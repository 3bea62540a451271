"""Augmentation: the same for all frames, off by default, refused where it makes no sense."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trishift.data import transforms
from trishift.data.augmentation import rand_augment as operations
from trishift.data.augmentation.colors import ColorSpec, jitter_colors
from trishift.data.augmentation.pictures import recolor
from trishift.data.augmentation.rand_augment import RandAugmentSpec, rand_augment
from trishift.data.augmentation.rectangles import ErasingSpec, ResizedCropSpec, draw_resized_crop, erase
from trishift.data.augmentation.timing import stretched_clip
from trishift.data.sampling import SamplingSpec, training_clip
from trishift.data.transforms import AugmentationSpec
from trishift.errors import RecipeError
from trishift.model.spec import InputSpec
from trishift.recipe import load_recipe, recipe_from_dict

COLORS = ColorSpec(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
EVERYTHING = AugmentationSpec(
    resized_crop=ResizedCropSpec(),
    rand_augment=RandAugmentSpec(operations=2),
    color=COLORS,
    erasing=ErasingSpec(probability=1),
)
PIXELS = InputSpec(resize=40, crop=32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """(40, 48, 3) uint8, smooth, dark and colorful."""
    noise = Image.fromarray(rng().integers(0, 180, (5, 6, 3), dtype=np.uint8))
    return np.asarray(noise.resize((48, 40), Image.Resampling.BILINEAR))


@pytest.fixture(scope="module")
def still(picture: np.ndarray) -> np.ndarray:
    """A clip of three equal frames."""
    return np.stack([picture] * 3)


def changes(frames: np.ndarray, other: np.ndarray) -> bool:
    return not np.array_equal(frames, other)


def test_options_that_are_off_draw_nothing(still: np.ndarray) -> None:
    clip, flipped = transforms.train_augmentation(still, PIXELS, rng(3))
    draws = rng(3)
    box = transforms.draw_crop(40, 48, (32, 32), AugmentationSpec(), draws)
    assert flipped == (draws.random() < 0.5)
    expected = transforms.resize(transforms.crop(still, box), 32, 32)
    expected = expected[:, :, ::-1] if flipped else expected
    np.testing.assert_array_equal(clip, transforms.normalize(expected, PIXELS))
    numbers = [
        choose(SamplingSpec("uniform"), 40, 8, rng=rng(4)).tolist()
        for choose in (training_clip, partial(stretched_clip, speed=(1.0, 1.0)))
    ]
    assert numbers[0] == numbers[1]


def test_all_frames_change_alike(still: np.ndarray) -> None:
    views = [transforms.train_augmentation(still, PIXELS, rng(seed), EVERYTHING)[0] for seed in range(8)]
    for view in views:
        np.testing.assert_array_equal(view, np.stack([view[0]] * 3))
    assert len({view.tobytes() for view in views}) == 8
    np.testing.assert_array_equal(views[3], transforms.train_augmentation(still, PIXELS, rng(3), EVERYTHING)[0])


@pytest.mark.parametrize("name", [n for n in operations.OPERATIONS if n != "identity"])
def test_every_operation_changes_pixels(name: str, still: np.ndarray) -> None:
    strong, weak = (operations.apply(still, name, strength) for strength in (0.9, 0.0))
    assert strong.shape == still.shape and strong.dtype == np.uint8
    assert changes(strong, still)
    if name not in ("equalize", "auto_contrast"):  # these have no strength
        np.testing.assert_array_equal(weak, still)


def test_no_operation_mirrors(still: np.ndarray) -> None:
    mirrored = still[:, :, ::-1].astype(int)
    for name in ("rotate", "shear_x", "translate_x"):
        changed = operations.apply(still, name, 0.3).astype(int)
        assert abs(changed - still).mean() < abs(changed - mirrored).mean()


def test_operations_go_both_ways(still: np.ndarray) -> None:
    right, left = (operations.apply(still, "translate_x", strength) for strength in (-1.0, 1.0))
    distance = round(150 / 331 * 48)
    np.testing.assert_array_equal(right[:, :, distance:], still[:, :, :-distance])
    np.testing.assert_array_equal(left[:, :, :-distance], still[:, :, distance:])
    assert (left[:, :, -distance:] == 128).all()


def test_equalizing_maps_all_frames_alike(picture: np.ndarray) -> None:
    bright = (picture // 2 + 120).astype(np.uint8)
    frames = np.stack([picture, bright])
    alone = operations.apply(bright[None], "equalize", 1)[0]
    assert changes(operations.apply(frames, "equalize", 1)[1], alone)
    contrast = recolor(frames, operations._ON_COLORS["contrast"](1.0)).astype(int)
    darker = frames < 100  # the mean of both frames is the pivot
    assert (contrast[darker] <= frames[darker]).mean() > 0.95


def test_color_jitter_varies_only_what_is_set(still: np.ndarray) -> None:
    assert jitter_colors(still, ColorSpec(), rng()) is still
    assert jitter_colors(still, replace(COLORS, probability=0), rng()) is still
    gray = jitter_colors(np.full((2, 8, 8, 3), 90, np.uint8), ColorSpec(saturation=1, hue=0.5), rng())
    np.testing.assert_array_equal(gray, 90)
    factors = [jitter_colors(still, ColorSpec(brightness=0.5), rng(seed)).mean() / still.mean() for seed in range(40)]
    assert 0.48 < min(factors) < 0.65 and 1.35 < max(factors) < 1.52
    changed = sum(changes(jitter_colors(still, replace(COLORS, probability=0.3), rng(s)), still) for s in range(100))
    assert 18 < changed < 42


def test_hue_turns_around_the_color_circle() -> None:
    red = np.zeros((1, 4, 4, 3), np.uint8) + np.array([200, 0, 0], np.uint8)
    hues = {tuple(jitter_colors(red, ColorSpec(hue=0.5), rng(seed))[0, 0, 0] > 100) for seed in range(40)}
    assert {(True, False, False), (False, True, False), (False, False, True)} <= hues


def test_rand_augment_draws_its_operations(still: np.ndarray) -> None:
    assert rand_augment(still, RandAugmentSpec(), rng()) is still
    results = {rand_augment(still, RandAugmentSpec(operations=1, magnitude=15), rng(s)).tobytes() for s in range(200)}
    assert 20 <= len(results) <= 25  # identity, 2 without strength, posterize and solarize, 9 with two signs


@pytest.mark.parametrize("size", [(32, 32), (32, 64)])
def test_resized_crops_have_the_area_and_aspect_of_the_recipe(size: tuple[int, int]) -> None:
    spec = ResizedCropSpec(area=(0.2, 0.5), aspect=(0.8, 1.25))
    draws = rng()
    boxes = np.array([draw_resized_crop(200, 300, size, spec, draws) for _ in range(300)])
    left, top, width, height = boxes.T
    assert (left >= 0).all() and (top >= 0).all() and (left + width <= 300).all() and (top + height <= 200).all()
    area, aspect = width * height / (200 * 300), width / height / (size[1] / size[0])
    assert 0.195 < area.min() < 0.23 and 0.45 < area.max() < 0.505
    assert 0.79 < aspect.min() < 0.83 and 1.2 < aspect.max() < 1.27
    assert draw_resized_crop(10, 400, (32, 32), ResizedCropSpec(area=(1, 1)), draws) == (193, 0, 13, 10)


def test_erasing_hides_one_place_in_all_frames() -> None:
    clip = np.ones((4, 3, 32, 48), np.float32)
    assert erase(clip.copy(), ErasingSpec(), rng()).all()
    erased = erase(clip, ErasingSpec(probability=1, area=(0.2, 0.3)), rng())
    hidden = erased[0, 0] == 0
    assert 0.15 < hidden.mean() < 0.35
    np.testing.assert_array_equal(erased == 0, np.broadcast_to(hidden, erased.shape))


def spans(speed: tuple[float, float], **sampling: Any) -> np.ndarray:
    draws, spec = rng(), SamplingSpec(**sampling)
    numbers = np.stack([stretched_clip(spec, 200, 8, rng=draws, speed=speed)[0] for _ in range(300)])
    assert numbers.min() >= 0 and numbers.max() < 200 and (np.diff(numbers, axis=1) > 0).all()
    return np.ptp(numbers, axis=1)


def test_speed_changes_the_distance_between_segments() -> None:
    assert spans((1, 1)).min() > 150
    half = spans((0.5, 0.5))
    assert half.min() > 70 and half.max() < 100
    assert spans((0.25, 1)).min() < 55 and spans((0.25, 1)).max() > 170
    assert set(spans((1, 1), mode="dense")) == {56} and set(spans((2, 2), mode="dense")) == {112}


def test_stretches_are_long_enough_for_different_frames() -> None:
    for seed in range(20):
        numbers = stretched_clip(SamplingSpec("uniform"), 12, 4, 3, rng=rng(seed), speed=(0.1, 0.1))
        assert len(set(numbers[0, ::3])) == 4
    assert stretched_clip(SamplingSpec("uniform"), 1, 4, rng=rng(), speed=(0.1, 1)).tolist() == [[0, 0, 0, 0]]


def recipe(**augmentation: Any) -> dict[str, Any]:
    return {"data": {"augmentation": augmentation}}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (recipe(color={"brightness": 2}), r"data\.augmentation\.color\.brightness: 2 is not in \[0, 1\]"),
        (recipe(color={"hue": 0.6}), r"data\.augmentation\.color\.hue: 0\.6 is not in \[0, 0\.5\]"),
        (recipe(rand_augment={"magnitude": 31}), r"rand_augment\.magnitude: 31 is not in \[0, 30\]"),
        (recipe(rand_augment={"operations": -1}), r"rand_augment\.operations: must be 0 or more"),
        (recipe(erasing={"area": [0.5, 0.2]}), r"erasing\.area: \[0\.5, 0\.2\] is not a range"),
        (recipe(resized_crop={"area": [0, 1]}), r"resized_crop\.area: \[0\.0, 1\.0\] is not a range within \(0, 1\]"),
        (recipe(speed=[0.5, 2]), r"data\.augmentation\.speed: 2 is too fast.*sampling\.mode=dense"),
        (recipe(jitter=30), r"data\.augmentation\.jitter: 30 is not a share of a clip's length"),
        (recipe(speed=[0, 1]), r"data\.augmentation\.speed: \[0\.0, 1\.0\] is not a range"),
        (recipe(speed=[0.5]), r"data\.augmentation\.speed: must be a longer list, not \[0\.5\]"),
        (recipe(speed=[0.5, 1, 1]), r"data\.augmentation\.speed: must be a list of 2 entries, not"),
        (recipe(opposites=["a", "b"]), r"data\.augmentation\.opposites: must be a list, not 'a'"),
        (recipe(color=True), r"data\.augmentation\.color: must be a section with entries such as brightness, not True"),
        (recipe(opposites=[["a", "b"]]), r"data\.augmentation\.opposites: applies to reversed clips"),
        (recipe(colors={}), r"unknown key 'data\.augmentation\.colors'; did you mean 'color'\?"),
        (recipe(color={"saturatoin": 1}), r"'data\.augmentation\.color\.saturatoin'; did you mean 'saturation'\?"),
        ({"input": {"modality": "flow"}, **recipe(color={"hue": 0.1})}, r"augmentation\.color: optical flow has no"),
        ({"input": {"modality": "flow"}, **recipe(rand_augment={"operations": 2})}, r"rand_augment: optical flow has"),
        ({"input": {"modality": "flow"}, **recipe(reverse="same_labels")}, r"augmentation\.reverse: played backward"),
    ],
)
def test_impossible_augmentation_is_refused(sections: dict[str, Any], message: str) -> None:
    flow = {"model": {"in_channels": 10}} if "input" in sections else {}
    with pytest.raises(RecipeError, match=message):
        recipe_from_dict({**sections, **flow})


def test_errors_name_the_line_of_a_section(tmp_path: Any) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("data:\n  augmentation:\n    erasing:\n      probability: 3\n")
    with pytest.raises(
        RecipeError, match=r"bad\.yaml:4: data\.augmentation\.erasing\.probability: 3 is not in \[0, 1\]"
    ):
        load_recipe(file)
    file.write_text("")
    assert load_recipe(file, ["data.augmentation.resized_crop.area=[0.5, 1]"]).data.augmentation.resized_crop
    assert load_recipe(file, ["data.augmentation.resized_crop=none"]).data.augmentation == AugmentationSpec()


def test_frame_differences_take_every_option() -> None:
    options = recipe(color={"hue": 0.1}, rand_augment={"operations": 2}, reverse="swap_labels")
    recipe_from_dict({"input": {"modality": "rgbdiff"}, "model": {"in_channels": 15}, **options})
