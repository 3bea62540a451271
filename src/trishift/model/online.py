"""Online recognition: models that run frame by frame, and the state they keep between frames.

A unidirectional shift (online TSM, Lin et al. 2019, arXiv:1811.08383, section 3.3) takes channels from the previous
frame only. When the model runs one frame at a time, each shifted block keeps these channels of its input until the
next frame, in its buffer. Buffers start at zero, exactly as zeros pad the beginning of a clip.
"""

from __future__ import annotations

import numpy as np

from trishift.errors import RecipeError
from trishift.model.backbones import layout
from trishift.model.spec import ModelSpec


def check_streamable(spec: ModelSpec) -> None:
    """Reject models whose logits for a frame depend on later frames.

    Models without a shift (TSN) pass: they keep no state.

    Raises:
        RecipeError: the model has a bidirectional shift, motion modules, non-local blocks, temporal pooling or a
            relation head.
    """
    if obstacle := streaming_obstacle(spec):
        raise RecipeError(f"the model cannot run frame by frame, {obstacle[0]}; train one with {obstacle[1]}")


def streaming_obstacle(spec: ModelSpec) -> tuple[str, str] | None:
    """Why a model cannot run frame by frame, and what one has that can; None if it can."""
    if spec.shift is not None and spec.shift.direction != "unidirectional":
        return "its shift is bidirectional", "model.shift.direction=unidirectional"
    if spec.motion is not None:
        return "its motion modules compare the segments of a clip", "a unidirectional shift (TSM)"
    if spec.non_local:
        return "its non-local blocks compare all frames of a clip", "model.non_local=false"
    if spec.temporal_attention:
        return "its temporal attention compares all frames of a clip", "model.temporal_attention=false"
    if spec.temporal_pool:
        return "temporal pooling merges frames", "model.temporal_pool=false"
    if spec.head.consensus != "average":
        return "its relations need all frames of a clip", "model.head.consensus=average"
    return None


def frames_are_independent(spec: ModelSpec) -> bool:
    """Whether the pooled features of a segment depend on that segment only, so that clips can share them.

    True of TSN and TRN. In a model with a shift, also a unidirectional one, they depend on the segments before it, back
    to the beginning of its clip.
    """
    mixes = spec.non_local or spec.temporal_pool or spec.temporal_attention
    return spec.shift is None and spec.motion is None and not mixes


def state_shapes(spec: ModelSpec, height: int, width: int) -> dict[str, tuple[int, int, int]]:
    """Shapes of the state that a streaming model keeps per stream, for frames of height x width pixels.

    Returns:
        Shape (C // div, H, W) of the buffer of each shifted block, by name, in network order. Blocks of fewer than
        div channels shift nothing and are omitted.

    Raises:
        RecipeError: the model cannot run frame by frame.
    """
    check_streamable(spec)
    if spec.shift is None:
        return {}
    div, inputs = spec.shift.div, layout(spec, (height, width)).inputs
    moved = {name: inputs[name].channels // div for name in spec.shifted_blocks}
    return {name: (channels, *inputs[name].size) for name, channels in moved.items() if channels}


def zero_state(spec: ModelSpec, frames_shape: tuple[int, ...]) -> list[np.ndarray]:
    """Initial buffers (N, C // div, H', W') for frames (N, C, H, W)."""
    streams, _, height, width = frames_shape
    shapes = state_shapes(spec, height, width).values()
    return [np.zeros((streams, *shape), np.float32) for shape in shapes]
