"""Our own kernels for NVIDIA GPUs, in Triton: the temporal shift, and 1x1 convolutions that shift what they read.

Shape legend: N clips, T segments, C channels, H x W pixels; frames of a clip are adjacent on the batch axis.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from trishift.backends.pytorch.temporal_shift import TemporalShift

_BLOCK = 1024
_UNITS = {8: torch.int64, 4: torch.int32, 2: torch.int16}  # bytes that are moved at once


def shifted(x: Tensor, segments: int, folded: int, moves: tuple[int, ...]) -> Tensor:
    """`temporal_shift` in one pass: (N * T, C, H, W), dense in NCHW or NHWC, to a new tensor in the same format.

    A frame is a sequence of periods, which begin with the channels that move, `folded` in each fold: its pixels in
    NHWC, itself in NCHW.
    """
    y = torch.empty_like(x)
    channels, pixels, size = x.shape[1], x.shape[2] * x.shape[3], x.element_size()
    nchw = x.is_contiguous()
    period = channels * size * (pixels if nchw else 1)
    fold = period // channels * folded
    unit = math.gcd(fold, period, x.storage_offset() * size, 8)
    frame = channels * pixels * size // unit
    source, target = (_flat(tensor, nchw).view(_UNITS[unit]) for tensor in (x, y))
    grid = (triton.cdiv(frame, _BLOCK), x.shape[0])
    first, second = (*moves, 0)[:2]
    _shift[grid](source, target, frame, segments, period // unit, fold // unit, first, second, BLOCK=_BLOCK)
    return y


def _flat(x: Tensor, nchw: bool) -> Tensor:
    """The memory of a dense tensor."""
    return (x if nchw else x.permute(0, 2, 3, 1)).view(-1)


@triton.jit
def _shift(x, y, frame, segments, period, fold, first, second, BLOCK: tl.constexpr):  # noqa: ANN001, ANN202
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    number = tl.program_id(1)
    place = at % period
    move = tl.where(place < fold, first, tl.where(place < 2 * fold, second, 0))
    segment = number % segments + move
    start = number.to(tl.int64) * frame
    inside = at < frame
    value = tl.load(x + start + at + move * frame, mask=inside & (segment >= 0) & (segment < segments), other=0)
    tl.store(y + start + at, value, mask=inside)


def shifted_product(
    x: Tensor, weight: Tensor, bias: Tensor, term: Tensor | None, shift: TemporalShift | None, *, relu: bool
) -> Tensor:
    """A 1x1 convolution of shifted features, with a sum and an activation.

    Args:
        x: (N * T, C, H, W) in NHWC; C and the channels of a fold are divisible by 32.
        weight: (C', C, 1, 1); C' is divisible by 64.
        bias: (C',).
        term: (N * T, C', H, W) in NHWC, added before the activation; None: nothing.
        shift: of x, or None.
        relu: whether the activation is a ReLU; otherwise there is none.

    Returns:
        (N * T, C', H, W) in NHWC.
    """
    frames, channels, height, width = x.shape
    outputs = weight.shape[0]
    y = torch.empty_like(x[:, :1].expand(-1, outputs, -1, -1), memory_format=torch.channels_last)
    segments, fold, first, second = frames, 0, 0, 0
    if shift is not None:
        segments, fold = shift.segments, shift.spec.folds(channels)[0]
        first, second = (*shift.spec.origins, 0)[:2]
    rows = frames * height * width
    columns = min(outputs, 128) if outputs % 128 == 0 else 64
    depth, stages = (64, 3) if channels >= 1024 and fold % 64 == 0 else (32, 5)
    _product[(triton.cdiv(rows, 128) * (outputs // columns),)](
        *(x, weight, bias, y if term is None else term, y),
        *(rows, height * width, segments, channels, outputs, fold, first, second),
        **{"SUM": term is not None, "RELU": relu, "ROWS": 128, "COLUMNS": columns, "DEPTH": depth},
        num_warps=4,
        num_stages=stages,
    )
    return y


@triton.jit
def _product(  # noqa: ANN202
    x, weight, bias, term, y,  # noqa: ANN001
    rows, pixels, segments, channels, outputs, fold, first, second,  # noqa: ANN001
    SUM: tl.constexpr, RELU: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Rows are the pixels of all frames. A fold is read from the row of the same pixel in the frame it comes from."""
    tiles = outputs // COLUMNS  # neighbors in time read the same rows, which are still in the cache
    row = tl.program_id(0) // tiles * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(0) % tiles * COLUMNS + tl.arange(0, COLUMNS)
    channel = tl.arange(0, DEPTH)
    inside = row < rows
    segment = (row // pixels) % segments
    start = row.to(tl.int64) * channels
    kernel = weight + column[None, :] * channels + channel[:, None]
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for k in range(0, channels, DEPTH):  # one loop, so that loads run ahead from one fold to the next
        move = tl.where(k < fold, first, tl.where(k < 2 * fold, second, 0))
        known = inside & (segment + move >= 0) & (segment + move < segments)
        moved = start + move * pixels * channels + k
        features = tl.load(x + moved[:, None] + channel[None, :], mask=known[:, None], other=0.0)
        total = tl.dot(features, tl.load(kernel + k), total)
    target = row.to(tl.int64)[:, None] * outputs + column[None, :]
    total += tl.load(bias + column)[None, :]
    if SUM:
        total += tl.load(term + target, mask=inside[:, None], other=0.0)
    if RELU:
        total = tl.maximum(total, 0.0)
    tl.store(y + target, total.to(y.dtype.element_ty), mask=inside[:, None])
