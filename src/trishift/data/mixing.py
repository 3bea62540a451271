"""Mixing the clips of a batch in pairs: mixup, CutMix and VideoMix.

Clip i of a batch of N is mixed with clip i + N / 2, and the reverse; the order of clips is random anyway. The clips of
a batch alternate between ranks, so both clips of a pair belong to one rank: any number of ranks mixes the same pairs in
the same way.

Shape legend: N clips, T segments, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from trishift.data.augmentation.bounds import check_share
from trishift.errors import RecipeError
from trishift.io.typed import FORBID_UNKNOWN_KEYS

_Method = Literal["mixup", "cutmix", "videomix"]
_STREAM = 2**31  # keeps the draws apart from those of dropout and clips


@dataclass(frozen=True)
class MixingSpec:
    """Mixing of training clips, in a recipe. If several methods are on, one of them is drawn for each clip.

    Attributes:
        mixup: alpha of mixup (Zhang et al. 2018, arXiv:1710.09412): clips are blended with a weight from
            Beta(alpha, alpha); 0 switches it off.
        cutmix: alpha of CutMix (Yun et al. 2019, arXiv:1905.04899): a box, at the same place in all segments, shows
            the other clip; the share of the rest is drawn from Beta(alpha, alpha).
        videomix: alpha of VideoMix (Yun et al. 2020, arXiv:2012.03457): the same with a cuboid in space and time.
        probability: fraction of clips to mix.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    mixup: float = 0.0
    cutmix: float = 0.0
    videomix: float = 0.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        for name in get_args(_Method):
            if getattr(self, name) < 0:
                raise RecipeError(f"train.mixing.{name}: must be 0 or more, not {getattr(self, name):g}")
        check_share("train.mixing.probability", self.probability)

    @property
    def methods(self) -> tuple[_Method, ...]:
        """The methods that are on."""
        return tuple(name for name in get_args(_Method) if getattr(self, name) and self.probability)


@dataclass(frozen=True)
class Mixture:
    """How one clip is mixed with its partner.

    Attributes:
        share: weight of its own label.
        cuboid: (segments, rows, columns) in which the partner is shown; None: the clips are blended.
    """

    share: float
    cuboid: tuple[slice, slice, slice] | None = None


def draw_mixtures(spec: MixingSpec, shape: tuple[int, ...], seed: int, iteration: int) -> list[Mixture]:
    """Draw how each clip of a whole batch (N, T, C, H, W) is mixed in an iteration."""
    rng = np.random.default_rng((seed, iteration, _STREAM))
    size = (shape[1], *shape[3:])
    return [_draw(spec, size, rng) if rng.random() < spec.probability else Mixture(1.0) for _ in range(shape[0])]


def _draw(spec: MixingSpec, size: tuple[int, ...], rng: np.random.Generator) -> Mixture:
    method = spec.methods[int(rng.integers(len(spec.methods)))]
    alpha = getattr(spec, method)
    share = float(rng.beta(alpha, alpha))
    if method == "mixup":
        return Mixture(share)
    cut = size if method == "videomix" else size[1:]
    scale = (1 - share) ** (1 / len(cut))
    sides = [_draw_side(length, scale, rng) for length in cut]
    segments, rows, columns = sides if len(sides) == 3 else (slice(0, size[0]), *sides)
    hidden = np.prod([side.stop - side.start for side in (segments, rows, columns)]) / np.prod(size)
    return Mixture(float(1 - hidden), (segments, rows, columns))


def _draw_side(length: int, scale: float, rng: np.random.Generator) -> slice:
    """One side of a cuboid: its center is anywhere, and parts outside the clip are cut off, as in CutMix."""
    center, side = int(rng.integers(length)), round(length * scale)
    start = center - side // 2
    return slice(max(0, start), min(length, start + side))


def mix(
    clips: np.ndarray, targets: np.ndarray, num_classes: int, mixtures: list[Mixture]
) -> tuple[np.ndarray, np.ndarray]:
    """Mix a rank's clips of a batch.

    Args:
        clips: (N, T, C, H, W) float32, changed in place; N is even.
        targets: (N,) int64 classes.
        num_classes: K.
        mixtures: N, one per clip.

    Returns:
        The clips, and (N, K) float32 class probabilities.
    """
    half = len(clips) // 2
    for one, other in zip(range(half), range(half, 2 * half), strict=True):
        before = clips[one].copy()
        _add(clips[one], clips[other], mixtures[one])
        _add(clips[other], before, mixtures[other])
    shares = np.array([[mixture.share] for mixture in mixtures], np.float32)
    labels = np.eye(num_classes, dtype=np.float32)[targets]
    return clips, shares * labels + (1 - shares) * np.roll(labels, half, axis=0)


def _add(clip: np.ndarray, partner: np.ndarray, mixture: Mixture) -> None:
    """Show the partner in a clip (T, C, H, W), in place."""
    if mixture.cuboid is not None:
        segments, rows, columns = mixture.cuboid
        clip[segments, :, rows, columns] = partner[segments, :, rows, columns]
    elif mixture.share < 1:
        clip *= np.float32(mixture.share)
        clip += np.float32(1 - mixture.share) * partner
