"""Motion modules of networks whose segments are windows of five frames: MSN and TDN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trishift.errors import RecipeError
from trishift.io.typed import FORBID_UNKNOWN_KEYS

MOTION_FRAMES = 5  # consecutive frames per segment
MOTION_REDUCTION = 4  # MSN's motion modules use a quarter of the channels
DIFFERENCE_REDUCTION = 16  # TDN's long-term modules use a sixteenth
MotionKind = Literal["msn", "tdn"]


@dataclass(frozen=True)
class MotionSpec:
    """Motion modules: MSN (Gu et al. 2024, Front. Neurosci. 18:1370024) or TDN (Wang et al. 2021, arXiv:2012.10071).

    A segment is a window of `MOTION_FRAMES` frames. A map of the differences within the window joins the features of
    its middle frame twice (STP-ME in MSN, the short-term module in TDN). In later blocks, changes between segments
    weight channels (DS-ME) or pixels (the long-term module), and a learned convolution over time is the shift.

    Attributes:
        kind: `msn` (motion sensitive network) or `tdn` (temporal difference network).
        window: segments that DS-ME compares with each other. Longer clips are split into independent windows, like the
            original's clips of 16 segments. None: the whole clip, as always in TDN.
        stem_share: weight of the motion map in the fusion after the stem; the frame's features have the rest
            (published: 0.5 for 8 segments, 0.25 for 16).
        layer1_share: the same for the fusion after layer1 (published: 0.25 in MSN; in TDN that of the stem).

    Example:
        >>> from trishift.model.motion import tdn
        >>> tdn(16).stem_share
        0.25
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    kind: MotionKind = "msn"
    window: int | None = 8
    stem_share: float = 0.5
    layer1_share: float = 0.25

    def __post_init__(self) -> None:
        for name in ("stem_share", "layer1_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"motion.{name}: {getattr(self, name)} is not in [0, 1]; use a share from 0 to 1")
        if self.window is not None and self.kind == "tdn":
            raise RecipeError(f"motion.window: TDN compares all segments of a clip, not {self.window}; use null")
        if self.window is not None and self.window < 2:
            raise RecipeError(f"motion.window: {self.window} is too small, comparing takes 2 segments; use 2 or more")

    @property
    def title(self) -> str:
        """The network's name: MSN or TDN."""
        return self.kind.upper()


def tdn(num_segments: int) -> MotionSpec:
    """The motion modules of a published TDN: its code gives motion another share for 8 segments than for the rest."""
    share = 0.5 if num_segments == 8 else 0.25
    return MotionSpec("tdn", None, share, share)
