"""Sizes of the feature maps inside a network, and the picture sizes that do not suit it."""

from __future__ import annotations

from trishift.errors import RecipeError
from trishift.model.backbones import BACKBONES, layout
from trishift.model.sizes import Size, size_text
from trishift.model.spec import ModelSpec


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
    found = layout(spec, picture)
    misfit = BACKBONES[spec.backbone].misfit(spec, found.inputs)
    if misfit is None and min(found.features.size) < 1:
        misfit = f"are too small for {spec.backbone}; use {size_text(small_size(spec))} or more"
    if misfit:
        raise RecipeError(f"{name}: {size_text(picture)} pixels {misfit}")


def small_size(spec: ModelSpec) -> Size:
    """A small picture that suits the network, with which forms for all sizes are proven."""
    return BACKBONES[spec.backbone].small
