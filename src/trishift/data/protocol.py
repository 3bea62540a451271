"""Evaluation protocols: the clips and crops of a video that are scored and averaged."""

from __future__ import annotations

from dataclasses import dataclass, field

from trishift.data.sampling import SamplingSpec
from trishift.data.transforms import Crops
from trishift.errors import RecipeError
from trishift.model.spec import FORBID_UNKNOWN_KEYS

CROP_COUNTS: dict[Crops, int] = {"center": 1, "three": 3, "five": 5, "ten": 10}


@dataclass(frozen=True)
class Protocol:
    """Evaluation protocol of a video: its score is the mean of the logits of all views (clips x crops).

    Attributes:
        sampling: selects the frames of the clips.
        crops: crops per clip.
        full_resolution: crop to the resized short side (256) instead of the training size (224).
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
        return f"{clips} {self.sampling.mode} clip{'s' * (clips > 1)} x {crops} crop{'s' * (crops > 1)}, {size}"


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
    "dense_ten": Protocol(SamplingSpec("dense"), "ten"),  # 100 views (mmaction2)
}


def named_protocol(name: str) -> Protocol:
    """Look up a published protocol by name, see `PROTOCOLS`.

    Protocols do not set the number of frames: 25 frames x 10 crops is `ten` with a model of 25 segments.

    Raises:
        RecipeError: the name is unknown.
    """
    if name not in PROTOCOLS:
        listing = "; ".join(f"{key}: {protocol}" for key, protocol in PROTOCOLS.items())
        raise RecipeError(f"protocol {name!r} is unknown; use one of {listing}")
    return PROTOCOLS[name]
