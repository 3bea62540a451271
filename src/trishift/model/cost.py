"""Cost of a model: parameters and multiplications per clip, counted from its tensor table without building it."""

from __future__ import annotations

import math

from trishift.model.architectures import (
    BN_INCEPTION_BLOCKS,
    INCEPTION_LAYERS,
    RESNETS,
    inverted_residuals,
    residual_blocks,
)
from trishift.model.sizes import Size, WrittenSize, size_of
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, parameters, tensor_table


def num_parameters(spec: ModelSpec) -> int:
    """Trainable numbers of a model.

    Example:
        >>> from trishift.model.cost import num_parameters
        >>> from trishift.model.spec import ModelSpec
        >>> num_parameters(ModelSpec("resnet50", num_classes=400))
        24327632
    """
    return sum(math.prod(info.shape) for info in parameters(spec))


def multiplications(spec: ModelSpec, size: WrittenSize = 224) -> int:
    """Multiplications (multiply-adds) of convolutions and matrix products for one view.

    Publications usually call this number FLOPs. Norms, activations, pooling and resampling are not counted.

    Args:
        spec: the model.
        size: size of the frames in pixels, one number for a square.

    Example:
        >>> from trishift.model.cost import multiplications
        >>> from trishift.model.spec import ModelSpec
        >>> round(multiplications(ModelSpec("resnet50", num_classes=400)) / 1e9, 1)  # 8 frames
        32.7
    """
    strides, frame = _strides(spec), size_of(size)
    kernels = [info for info in tensor_table(spec) if info.role == "weight" and info.layer in ("conv", "linear")]
    total = sum(math.prod(info.shape) * _uses(info, spec, strides, frame) for info in kernels)
    return total + sum(_pairwise(block, spec, strides, frame) for block in spec.non_local_blocks)


def _uses(info: TensorInfo, spec: ModelSpec, strides: dict[str, int], frame: Size) -> int:
    """How often each number of a kernel is multiplied: positions of the output times frames."""
    name = info.layer_name
    if info.part == "head":
        return 1 if name.endswith(".classifier") else spec.output_segments
    if name.endswith((".excitation.expand", ".non_local.pair")):
        return _frames(name, spec) if name.endswith(".expand") else 0  # pair: see _pairwise
    frames = _frames(name, spec)
    if ".deformable" in name or name.endswith(".pooled"):  # the last segment of a window has no next one
        frames = frames // spec.motion_window * (spec.motion_window - 1)
    if name == "backbone.pyramid.conv1":
        frames *= 2  # two differences per segment
    return frames * math.prod(_map_size(strides[name.removeprefix("backbone.")], frame))


def _frames(name: str, spec: ModelSpec) -> int:
    """Frames that a layer processes per clip."""
    early = not spec.temporal_pool or name.startswith(("backbone.conv1", "backbone.layer1."))
    return spec.num_segments if early else spec.output_segments


def _map_size(stride: int, frame: Size) -> Size:
    return math.ceil(frame[0] / stride), math.ceil(frame[1] / stride)


def _pairwise(block: str, spec: ModelSpec, strides: dict[str, int], frame: Size) -> int:
    """Multiplications between the positions of a clip in the non-local block after a residual block."""
    output = next(b for b in residual_blocks(spec.backbone, spec.width) if b.name == block).channels
    inner, (height, width) = output // 2, _map_size(strides[f"{block}.non_local.g"], frame)
    frames = _frames(f"backbone.{block}.", spec)
    queries, keys = frames * height * width, frames * (height // 2) * (width // 2)
    if spec.non_local_form == "dot_product":  # in the cheaper order of products
        return (queries + keys) * inner**2
    if spec.non_local_form == "concatenation":
        return (queries + keys + queries * keys) * inner
    return queries * keys * ((output if spec.non_local_form == "gaussian" else inner) + inner)


def _strides(spec: ModelSpec) -> dict[str, int]:
    """Name of every convolution, without `backbone.`, to the stride of its output in pixels of the frame."""
    names = [
        info.layer_name.removeprefix("backbone.")
        for info in tensor_table(spec)
        if info.layer == "conv" and info.role == "weight"
    ]
    if spec.backbone in RESNETS:
        return {name: _resnet_stride(name, spec) for name in names}
    if spec.backbone == "mobilenet_v2":
        return _mobilenet_strides(names)
    return _inception_strides()


def _resnet_stride(name: str, spec: ModelSpec) -> int:
    if name.startswith("conv1") or name in ("pyramid.conv1", "pyramid.conv2"):
        return 2
    if name.startswith(("pyramid.", "motion_layer1.")):
        return 4
    block = next(b for b in residual_blocks(spec.backbone, spec.width) if name.startswith(f"{b.name}."))
    output, rest = 2 ** (block.stage + 1), name.removeprefix(f"{block.name}.")
    at_input = rest.startswith(("excitation.", "learned_shift"))
    at_input |= rest == "conv1" and RESNETS[spec.backbone].block == "bottleneck"
    return output // block.stride if at_input else output


def _mobilenet_strides(names: list[str]) -> dict[str, int]:
    strides, stride = {"features.0.0": 2}, 2
    for block in inverted_residuals():
        inside = [name for name in names if name.startswith(f"{block.name}.")]
        expand = inside[: len(inside) - 2]
        strides |= dict.fromkeys(expand, stride)
        stride *= block.stride
        strides |= dict.fromkeys(inside[len(expand) :], stride)
    return {**strides, "features.18.0": stride}


def _inception_strides() -> dict[str, int]:
    strides, stride = {"conv1_7x7_s2": 2, "conv2_3x3_reduce": 4, "conv2_3x3": 4}, 8
    for block in BN_INCEPTION_BLOCKS:
        for branch, layer in INCEPTION_LAYERS.items():
            at_output = branch in ("three", "double_2")
            strides[f"{block.name}_{layer}"] = stride * block.stride if at_output else stride
        stride *= block.stride
    return strides
