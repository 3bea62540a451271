"""Initial weights, drawn in numpy so that a seed yields the same network in every framework and on every rank."""

from __future__ import annotations

import math
import zlib

import numpy as np

from trishift.model.layers import Shape
from trishift.model.spec import ModelSpec, ShiftSpec
from trishift.model.tensors import TensorInfo, Tensors, tensor_table

CLASSIFIER_STD = 0.001  # TSN, TSM, TRN: the new last layer starts near zero


def initial_tensors(spec: ModelSpec, seed: int) -> Tensors:
    """Weights of an untrained network under canonical names.

    The tensor table lists the initializer of each tensor:

    * `he_normal`: variance 2 / fan_out (He et al. 2015, arXiv:1502.01852, as torchvision does); convolutions.
    * `classifier`: normal with deviation 0.001, as in TSN; `head.fc`, whose bias is zero.
    * `fan_in_uniform`: uniform within 1 / sqrt(fan_in) of the layer's weight, PyTorch's default; TRN's relations, and
      MSN's pyramid, 3-D convolutions and deformable convolutions.
    * `offset`: zero, for the offsets of MSN's deformable convolutions; see `drawn_offsets`.
    * `shift`: TSM's shift of an eighth of the channels per direction; the learned shifts of MSN and TDN.
    * `ones` and `zeros`: norms and other biases.

    Each tensor has its own random stream, derived from its name: adding a layer does not change the others.
    """
    table = tensor_table(spec)
    fan_in = {info.layer_name: math.prod(info.shape[1:]) for info in table if info.role == "weight"}
    return {info.name: _initial(info, fan_in[info.layer_name], _stream(info, seed)) for info in table}


def drawn_offsets(spec: ModelSpec, seed: int) -> Tensors:
    """Random kernels for the offsets of MSN's deformable convolutions (a bug in MSN's code, reproduced on request)."""
    offsets = (info for info in tensor_table(spec) if info.initializer == "offset")
    return {info.name: _he_normal(info.shape, _stream(info, seed)).astype(np.float32) for info in offsets}


def _stream(info: TensorInfo, seed: int) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(info.name.encode())))


def _initial(info: TensorInfo, fan_in: int, rng: np.random.Generator) -> np.ndarray:
    if info.initializer == "he_normal":
        values = _he_normal(info.shape, rng)
    elif info.initializer == "fan_in_uniform":
        bound = 1 / np.sqrt(fan_in)
        values = rng.uniform(-bound, bound, info.shape)
    elif info.initializer == "classifier":
        values = rng.normal(0, CLASSIFIER_STD, info.shape)
    elif info.initializer == "shift":
        values = _shift_kernel(info.shape)
    else:
        values = np.full(info.shape, float(info.initializer == "ones"))
    return values.astype(np.float32)


def _he_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    fan_out = shape[0] * math.prod(shape[2:])
    return rng.normal(0, np.sqrt(2 / fan_out), shape)


def _shift_kernel(shape: Shape) -> np.ndarray:
    """(C, 1, 3): the first eighth of the channels comes from t + 1, the second from t - 1, the rest is unshifted."""
    kernel = np.zeros(shape)
    fold = shape[0] // ShiftSpec().div
    kernel[:fold, 0, 2] = kernel[fold : 2 * fold, 0, 0] = kernel[2 * fold :, 0, 1] = 1
    return kernel
