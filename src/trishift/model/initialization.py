"""Initial weights, drawn in numpy so that a seed means the same network in every framework and on every rank."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping

import numpy as np

from trishift.model.spec import ShiftSpec
from trishift.model.tensors import ParameterInfo, Tensors

CLASSIFIER_STD = 0.001  # TSN, TSM, TRN: the new last layer starts almost at zero
_TORCH_DEFAULT = r"\.pyramid\.|\.excitation\.(deformable\d|temporal)$"  # layers of MSN that keep torch's own start


def initial_tensors(parameters: Iterable[ParameterInfo], shapes: Mapping[str, tuple[int, ...]], seed: int) -> Tensors:
    """Weights of an untrained network under canonical names.

    Convolutions: normal with variance 2 / fan_out (He et al. 2015, arXiv:1502.01852, as torchvision does).
    `head.fc`: normal with deviation 0.001 and zero bias, as in TSN. Other linear layers: uniform within
    1 / sqrt(fan_in), torch's default, which TRN's relations use, and so do what MSN adds to a ResNet's 2-D
    convolutions: its pyramid, its 3-D and its deformable convolutions. Their offsets start at zero, learned shifts as
    the shift of TSM by an eighth. Batch norm: scale 1, shift 0, running mean 0 and variance 1; a non-local block's
    batch norm starts at scale 0, so that the block starts as the identity.

    Each tensor has its own stream derived from its name: adding a layer does not change the others.
    """
    tensors = {
        name: np.full(shape, 1.0 if name.endswith("running_var") else 0.0, np.float32) for name, shape in shapes.items()
    }
    widths = {info.layer_name: int(np.prod(info.shape[1:])) for info in parameters if info.role == "weight"}
    for info in parameters:
        tensors[info.name] = _initial(info, widths[info.layer_name], _stream(info, seed)).astype(np.float32)
    return tensors


def drawn_offsets(parameters: Iterable[ParameterInfo], seed: int) -> Tensors:
    """Random kernels for the offsets of MSN's deformable convolutions, as its code starts them by mistake."""
    offsets = (info for info in parameters if info.layer_name.endswith(".offset") and info.role == "weight")
    return {info.name: _he_normal(info.shape, _stream(info, seed)).astype(np.float32) for info in offsets}


def _stream(info: ParameterInfo, seed: int) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(info.name.encode())))


def _initial(info: ParameterInfo, fan_in: int, rng: np.random.Generator) -> np.ndarray:
    if info.layer == "norm":
        one = info.role == "weight" and ".non_local." not in info.name
        return np.full(info.shape, float(one))
    if info.layer_name.endswith(".learned_shift"):
        return _shift_kernel(info.shape)
    if info.layer_name.endswith(".offset"):
        return np.zeros(info.shape)
    if (info.layer == "linear" and info.layer_name != "head.fc") or re.search(_TORCH_DEFAULT, info.layer_name):
        bound = 1 / np.sqrt(fan_in)
        return rng.uniform(-bound, bound, info.shape)
    if info.role == "bias":
        return np.zeros(info.shape)
    if info.layer == "linear":
        return rng.normal(0, CLASSIFIER_STD, info.shape)
    return _he_normal(info.shape, rng)


def _he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    fan_out = shape[0] * int(np.prod(shape[2:]))
    return rng.normal(0, np.sqrt(2 / fan_out), shape)


def _shift_kernel(shape: tuple[int, ...]) -> np.ndarray:
    """(C, 1, 3): the first eighth of the channels comes from t + 1, the second from t - 1, the others stay."""
    kernel = np.zeros(shape)
    fold = shape[0] // ShiftSpec().div
    kernel[:fold, 0, 2] = kernel[fold : 2 * fold, 0, 0] = kernel[2 * fold :, 0, 1] = 1
    return kernel
