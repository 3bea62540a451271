"""How sizes are written, and which ones suit a network."""

from __future__ import annotations

import numpy as np
import pytest

from trishift.backends import open_session
from trishift.errors import RecipeError
from trishift.model.feature_maps import check_size
from trishift.model.serialization import from_json, to_json
from trishift.model.sizes import Size, parse_size, size_of
from trishift.model.spec import InputSpec, ModelSpec

NON_LOCAL = ModelSpec("resnet34", 3, 1, width=2, non_local=True)
BN_INCEPTION = ModelSpec("bn_inception", 3, 1)
INCEPTION_V3 = ModelSpec("inception_v3", 3, 1)


@pytest.mark.parametrize(
    ("written", "size"), [(224, (224, 224)), ((128, 224), (128, 224)), ([128, 224], (128, 224)), ((9, 9), (9, 9))]
)
def test_size_is_height_then_width(written: int | Size, size: Size) -> None:
    spec = InputSpec(resize=256, crop=written)
    assert size_of(written) == spec.crop_size == size
    assert spec == InputSpec(crop=size)
    assert to_json(spec)["crop"] == (size[0] if size[0] == size[1] else size)
    assert from_json(InputSpec, {**to_json(spec), "crop": written}) == spec


@pytest.mark.parametrize("written", ["224x128", "224", (128,), (1, 2, 3), (1.5, 2), None, [[1, 2]], True, (True, 2)])
def test_refuses_other_forms(written: object) -> None:
    with pytest.raises(RecipeError, match=r"is no size; write a number of pixels, or \[height, width\]"):
        InputSpec(crop=written)  # type: ignore[arg-type]


def test_checkpoints_have_no_booleans_for_numbers() -> None:
    for cls, key in ((ModelSpec, "num_segments"), (InputSpec, "mean")):
        with pytest.raises(RecipeError, match=f"^{cls.__name__}: {key}: input should be a number, not a boolean$"):
            from_json(cls, {**to_json(cls()), key: [True, 0, 0] if key == "mean" else True})


def test_command_line_form() -> None:
    assert [parse_size(text) for text in ("224", "128,224", "[128, 224]", "64,64")] == [224, (128, 224), (128, 224), 64]
    for text in ("224x128", "128 224", "", ",", "128,", "1,2,3", "-3", "1.5"):
        with pytest.raises(RecipeError, match=r"--size: .* is no size; write .* HEIGHT,WIDTH"):
            parse_size(text)


@pytest.mark.parametrize(("resize", "crop"), [(64, (48, 100)), ((40, 100), 48), ((100, 40), (48, 48)), (64, (0, 9))])
def test_resize_must_cover_the_crop(resize: int | Size, crop: int | Size) -> None:
    with pytest.raises(RecipeError, match=r"input: resize \(.*\) must be at least crop"):
        InputSpec(resize=resize, crop=crop)


def test_another_crop_keeps_or_raises_resize() -> None:
    spec = InputSpec(resize=256, crop=224)
    assert spec.with_crop((128, 224)) == InputSpec(resize=256, crop=(128, 224))
    assert spec.with_crop((128, 320)) == InputSpec(resize=(256, 320), crop=(128, 320))


def test_inception_v3_takes_299_pixels() -> None:
    for size in (299, 75, 107):
        check_size(INCEPTION_V3, (size, size))
    with pytest.raises(RecipeError, match=r"224 x 224 pixels do not suit inception_v3.*; use 299, or another "):
        check_size(INCEPTION_V3, (224, 224))


@pytest.mark.parametrize("spec", [NON_LOCAL, BN_INCEPTION, INCEPTION_V3], ids=lambda spec: spec.backbone)
def test_refuses_the_sizes_that_fail_inside_the_network(spec: ModelSpec) -> None:
    session = open_session("pytorch", spec)
    for height, width in [(32, 48), (33, 70), (15, 33), (17, 40), (31, 38), (16, 64), (75, 79), (76, 83)]:
        clips = np.zeros((1, 1, 3, height, width), np.float32)
        try:
            with session._evaluation():
                session._logits(clips, None)
        except RuntimeError:
            with pytest.raises(RecipeError, match=rf"clips: {height} x {width} pixels .*; use "):
                session.predict(clips)
        else:
            check_size(spec, (height, width))
