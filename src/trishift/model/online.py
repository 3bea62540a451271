"""Online recognition: which models see a video frame by frame, and what they remember in between.

A unidirectional shift (online TSM, Lin et al. 2019, arXiv:1811.08383, section 3.3) only takes channels from the frame
before. Run one frame at a time, each shifted block therefore has to keep these channels of its input until the next
frame: its buffer. Zero buffers are the beginning of a video, exactly as zeros pad the beginning of a clip.
"""

from __future__ import annotations

import numpy as np

from trishift.errors import RecipeError
from trishift.model.architectures import RESNETS, shift_places
from trishift.model.spec import ModelSpec

Size = tuple[int, int]


def check_streamable(spec: ModelSpec) -> None:
    """Refuse models whose logits of a frame depend on later frames.

    Models without a shift (TSN) pass: they remember nothing.

    Raises:
        RecipeError: the shift is bidirectional, or there are non-local blocks, temporal pooling or a relation head.
    """
    if spec.shift is not None and spec.shift.direction != "unidirectional":
        reason, remedy = "its shift is bidirectional", "model.shift.direction=unidirectional"
    elif spec.motion is not None:
        reason, remedy = "its motion modules compare the segments of a clip", "a unidirectional shift (TSM)"
    elif spec.non_local:
        reason, remedy = "its non-local blocks compare all frames of a clip", "model.non_local=false"
    elif spec.temporal_pool:
        reason, remedy = "temporal pooling merges frames", "model.temporal_pool=false"
    elif spec.head.consensus != "average":
        reason, remedy = "its relations need all frames of a clip", "model.head.consensus=average"
    else:
        return
    raise RecipeError(f"the model cannot run frame by frame, {reason}; train one with {remedy}")


def state_shapes(spec: ModelSpec, height: int, width: int) -> dict[str, tuple[int, int, int]]:
    """What a streaming model keeps for each stream between frames of height x width pixels.

    Returns:
        Names of the shifted blocks in network order, and the shape (C // div, H, W) of their buffers. A block of
        fewer than div channels shifts nothing and is left out.

    Raises:
        RecipeError: the model cannot run frame by frame.
    """
    check_streamable(spec)
    if spec.shift is None:
        return {}
    shifted, div, size, shapes = set(spec.shifted_blocks), spec.shift.div, _after_stem(spec, (height, width)), {}
    for place in shift_places(spec.backbone, spec.width):
        if place.block in shifted and place.channels >= div:
            shapes[place.block] = (place.channels // div, *size)
        if place.stride == 2:
            size = _pooled(size) if spec.backbone == "bn_inception" else _halved(size)
    return shapes


def _after_stem(spec: ModelSpec, image: Size) -> Size:
    """Size of the input of the first block."""
    if spec.backbone in RESNETS:
        return _halved(_halved(image))
    return _halved(image) if spec.backbone == "mobilenet_v2" else _pooled(_halved(image))


def _halved(size: Size) -> Size:
    """After a padded layer of stride 2."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def _pooled(size: Size) -> Size:
    """After Caffe's pooling: 3x3, stride 2, no padding, rounded up."""
    return max(size[0] // 2, 1), max(size[1] // 2, 1)


def zero_state(spec: ModelSpec, frames_shape: tuple[int, ...]) -> list[np.ndarray]:
    """The buffers (N, C // div, H', W') before the first frame, for frames (N, C, H, W)."""
    streams, _, height, width = frames_shape
    shapes = state_shapes(spec, height, width).values()
    return [np.zeros((streams, *shape), np.float32) for shape in shapes]
