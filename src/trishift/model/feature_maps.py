"""Sizes of the feature maps inside a network, and the picture sizes that do not suit it."""

from __future__ import annotations

from trishift.errors import RecipeError
from trishift.model.architectures import RESNETS, shift_sites
from trishift.model.inception_v3 import INCEPTION_V3_STEM, POOLED_STEM_LAYERS
from trishift.model.mobile import MOBILES
from trishift.model.sizes import Size, size_text
from trishift.model.spec import ModelSpec


def input_sizes(spec: ModelSpec, picture: Size) -> dict[str, Size]:
    """Size of each block's input, by name and in network order."""
    size, sizes = _after_stem(spec, picture), {}
    shrunk = {"bn_inception": _pooled, "inception_v3": unpadded}.get(spec.backbone, halved)
    for site in shift_sites(spec.backbone, spec.width):
        sizes[site.block] = size
        if site.stride == 2:
            size = shrunk(size)
    return sizes


def check_size(spec: ModelSpec, picture: Size, name: str = "size") -> None:
    """Refuse pictures that leave nothing to pool, or maps of different sizes to concatenate.

    The frameworks disagree here: some fail inside the network, others return wrong numbers.

    Args:
        spec: describes the network.
        picture: height and width in pixels.
        name: where the size comes from, for the error.

    Raises:
        RecipeError: the size does not suit the network.
    """
    if min(picture) < 1:
        raise RecipeError(f"{name}: {size_text(picture)} pixels are too small; use 32 x 32 or more")
    sizes = input_sizes(spec, picture)
    if spec.backbone == "bn_inception" and any(side % 4 for side in sizes["inception_3a"]):
        raise RecipeError(  # of an odd side, two-pixel steps of a convolution make one more than Caffe's pooling
            f"{name}: {size_text(picture)} pixels do not suit bn_inception, the branches of a block would differ in "
            "size; use multiples of 32"
        )
    if spec.backbone == "inception_v3" and any(side < 7 or side % 4 != 3 for side in sizes["Mixed_5b"]):
        raise RecipeError(  # both pools between the stages need an odd side
            f"{name}: {size_text(picture)} pixels do not suit inception_v3, the branches of a block would differ in "
            "size; use 299, or another multiple of 32 plus 11, from 75"
        )
    if spec.motion and spec.motion.kind == "tdn" and min(halved(sizes["layer4.0"])) < 2:
        raise RecipeError(
            f"{name}: {size_text(picture)} pixels are too small, TDN's motion modules average 2 x 2 positions after "
            "layer4.0; use 64 x 64 or more"
        )
    strides = {site.block: site.stride for site in shift_sites(spec.backbone, spec.width)}
    for block in spec.non_local_blocks:
        output = halved(sizes[block]) if strides[block] == 2 else sizes[block]
        if min(output) < 2:
            raise RecipeError(
                f"{name}: {size_text(picture)} pixels are too small, the non-local block after {block} pools "
                f"{size_text(output)} positions in pairs; use 32 x 32 or more"
            )


def small_size(spec: ModelSpec) -> Size:
    """A small picture that suits the network, with which forms for all sizes are proven."""
    return (75, 75) if spec.backbone == "inception_v3" else (64, 64)


def _after_stem(spec: ModelSpec, picture: Size) -> Size:
    """Size of the first block's input."""
    if spec.backbone in RESNETS:
        return halved(halved(picture))
    if spec.backbone == "inception_v3":
        return _pooled(inception_stem_sizes(picture)[INCEPTION_V3_STEM[-1].name])
    is_mobile = spec.backbone == "mobilenet_v2" or spec.backbone in MOBILES
    return halved(picture) if is_mobile else _pooled(halved(picture))


def inception_stem_sizes(picture: Size) -> dict[str, Size]:
    """Output size of each layer in InceptionV3's stem, before its pool."""
    size, sizes = picture, {}
    for layer in INCEPTION_V3_STEM:
        size = size if layer.padded else unpadded(size, layer.stride)
        sizes[layer.name] = size
        size = _pooled(size) if layer.name in POOLED_STEM_LAYERS else size
    return sizes


def unpadded(size: Size, stride: int = 2) -> Size:
    """Size after a 3x3 layer without padding."""
    return (size[0] - 3) // stride + 1, (size[1] - 3) // stride + 1


def halved(size: Size) -> Size:
    """Size after a padded layer of stride 2."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def _pooled(size: Size) -> Size:
    """Size after Caffe's pooling: 3x3, stride 2, no padding, rounded up."""
    return max(size[0] // 2, 1), max(size[1] // 2, 1)
