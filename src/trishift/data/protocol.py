"""Evaluation protocols: the clips and crops of a video that are scored and averaged."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from trishift.data.sampling import SamplingSpec
from trishift.data.transforms import Crops
from trishift.errors import RecipeError
from trishift.io.typed import FORBID_UNKNOWN_KEYS
from trishift.io.wording import counted, did_you_mean

CROP_COUNTS: dict[Crops, int] = {"center": 1, "three": 3, "five": 5, "ten": 10}


@dataclass(frozen=True)
class Protocol:
    """Evaluation protocol of a video: its score is the mean of the logits of all views (clips x crops).

    Attributes:
        sampling: selects the frames of the clips.
        crops: crops per clip.
        full_resolution: crop to `input.resize` (256) instead of the training size, `input.crop` (224).
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    sampling: SamplingSpec = field(default_factory=SamplingSpec)
    crops: Crops = "center"
    full_resolution: bool = False

    @property
    def num_views(self) -> int:
        """Forward passes per video."""
        return self.sampling.num_clips * CROP_COUNTS[self.crops]

    def __str__(self) -> str:
        clips, crops = self.sampling.num_clips, CROP_COUNTS[self.crops]
        size = "full resolution" if self.full_resolution else "training size"
        return f"{counted(clips, f'{self.sampling.mode} clip')} x {counted(crops, 'crop')}, {size}"


PROTOCOLS = {
    "center": Protocol(),  # "efficient" on Something-Something; used for validation by most originals
    "three": Protocol(crops="three", full_resolution=True),
    "ten": Protocol(crops="ten"),  # TSN, TRN
    "twice": Protocol(SamplingSpec("twice"), "three", full_resolution=True),  # Something-Something, "accurate"
    "thirty": Protocol(  # MSN and TDN on Kinetics, 30 views
        SamplingSpec(clips=10, legacy_random_evaluation=True), "three", full_resolution=True
    ),
    "dense": Protocol(SamplingSpec("dense"), "three", full_resolution=True),  # Kinetics, 30 views (non-local networks)
    "dense_center": Protocol(SamplingSpec("dense")),  # 10 views
    "m4": Protocol(SamplingSpec("m4")),  # Multi-Moments models
    "dense_three": Protocol(SamplingSpec("dense"), "three"),  # 30 views of the training size (PP-TSM)
    "dense_ten": Protocol(SamplingSpec("dense"), "ten"),  # 100 views (mmaction2)
}


def named_protocol(name: str) -> Protocol:
    """Look up a published protocol by name, see `PROTOCOLS`, or by its numbers of clips and crops, such as `10x3`.

    With numbers, one clip is uniform, two are `twice` and more are dense; three crops have full resolution. So `1x10`
    is `ten`, `2x3` is `twice`, and `10x3` is `dense`. The number of frames is the model's: 25 frames x 10 crops is
    `ten` on a model of 25 segments.

    Raises:
        RecipeError: the name is unknown.
    """
    numbers = re.fullmatch(r"([1-9]\d{0,2})[x×](\d+)", name)
    crops = {str(count): crops for crops, count in CROP_COUNTS.items()}
    if numbers and numbers[2] in crops:
        return _protocol_of_counts(int(numbers[1]), crops[numbers[2]])
    if name not in PROTOCOLS:
        listing = "; ".join(f"{key}: {protocol}" for key, protocol in PROTOCOLS.items())
        forms = f"; write CLIPSxCROPS with {' or '.join(crops)} crops, for instance 10x3, or one of {listing}"
        raise RecipeError(f"protocol {name!r} is unknown{did_you_mean(name, PROTOCOLS) or forms}")
    return PROTOCOLS[name]


def _protocol_of_counts(clips: int, crops: Crops) -> Protocol:
    sampling = {1: SamplingSpec(), 2: SamplingSpec("twice"), 10: SamplingSpec("dense")}.get(clips)
    sampling = sampling or SamplingSpec("dense", clips)
    return Protocol(sampling, crops, full_resolution=crops == "three")
