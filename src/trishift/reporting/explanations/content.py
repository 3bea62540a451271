"""An explained clip: its explanation, and the pictures to show it on.

Shape legend: T segments, H x W pixels of the network's input, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trishift.backends.contract import Predictor
from trishift.data.clip_reader import ClipReader
from trishift.data.sampling import SamplingSpec, evaluation_clips
from trishift.data.sources import FrameRange
from trishift.data.stages import Pixels
from trishift.data.transforms import resize
from trishift.evaluation.calibration import Calibration
from trishift.evaluation.explaining import Explanation, Relation, explain_clip
from trishift.io.terminal import printable
from trishift.model.spec import InputSpec

_OPACITY = 0.65  # of the strongest evidence


@dataclass(frozen=True)
class ExplainedClip:
    """A clip, and why it has its class.

    Attributes:
        path: the clip.
        labels: K class names.
        probabilities: (K,).
        explanation: maps and contributions.
        pictures: (T, H, W, 3) uint8, the middle frame of each segment, as the network sees it.
        numbers: (T,) numbers of these frames in the file.
        times: (T,) their seconds in the clip; None if unknown.
        box: left, top, right and bottom of the network's view, as shares of a decoded frame.
        template: file name of a frame in a frame folder; None: detected.
    """

    path: Path
    labels: tuple[str, ...]
    probabilities: np.ndarray
    explanation: Explanation
    pictures: np.ndarray
    numbers: np.ndarray
    times: np.ndarray | None
    box: tuple[float, float, float, float]
    template: str | None = None

    @property
    def title(self) -> str:
        """The class that is explained, with its probability, in one line."""
        label = self.explanation.label
        return f"{printable(self.labels[label])} {self.probabilities[label]:.1%}"

    @property
    def captions(self) -> list[str]:
        """One per segment."""
        names = [f"frame {number}" for number in self.numbers]
        return (
            names
            if self.times is None
            else [f"{name}, {time:.2f} s" for name, time in zip(names, self.times, strict=True)]
        )

    @property
    def heat(self) -> np.ndarray:
        """(T, h, w) evidence per segment from 0 to 1."""
        return self.explanation.of_segments(self.explanation.heat)

    @property
    def contributions(self) -> dict[str, np.ndarray]:
        """What each of the T segments contributes to the logit, by the name of the method."""
        explanation = self.explanation
        shared = explanation.of_segments(explanation.by_gradient) * len(explanation.by_gradient) / len(self.numbers)
        return {"gradient x features": shared, "logit lost without it": explanation.left_out}

    def heated(self) -> np.ndarray:
        """(T, H, W, 3) uint8 pictures with their evidence."""
        return np.stack([with_heat(picture, heat) for picture, heat in zip(self.pictures, self.heat, strict=True)])

    def relation_text(self, relation: Relation) -> str:
        """A relation as the numbers of its segments, from 1, and its contribution."""
        return f"{' '.join(str(place + 1) for place in relation.segments)} ({relation.contribution:+.2f})"


def explain_file(
    predictor: Predictor,
    input_spec: InputSpec,
    labels: Sequence[str],
    calibration: Calibration,
    path: Path,
    label: int | None = None,
    template: str | None = None,
) -> ExplainedClip:
    """Explain the prediction of `trishift infer`: one uniform clip, center crop.

    Args:
        predictor: a network in a framework.
        input_spec: the pixels that it expects.
        labels: K class names.
        calibration: turns logits into probabilities.
        path: a video or a frame folder.
        label: the class to explain; None: the most likely one.
        template: file name of a frame in a frame folder; None: detected.

    Raises:
        DataError: the clip cannot be read, or the logits are not finite.
        RecipeError: an exported program, or the class is out of range.
    """
    spec = predictor.spec
    pixels = Pixels(input_spec, spec.in_channels)
    with ClipReader(input_spec, spec, template=template).open(path) as source:
        chosen = evaluation_clips(SamplingSpec(), source.num_frames, spec.num_segments, pixels.length).reshape(-1)
        stages = pixels.trace(source.read(chosen), spec.num_segments)
        middle = np.arange(spec.num_segments) * pixels.length + pixels.length // 2
        shown = chosen[middle]
        times = source.times[shown] if source.times is not None else None if not source.fps else shown / source.fps
        numbers = shown + (source.numbers.start if isinstance(source, FrameRange) else 0)
    explanation = explain_clip(predictor, stages["normalization"][0], label)
    height, width = stages["resize"].shape[1:3]
    left, top, across, down = pixels.box(height, width)
    return ExplainedClip(
        path,
        tuple(labels),
        calibration.probabilities(explanation.logits),
        explanation,
        _colored(stages["crop"][middle]),
        numbers,
        times,
        (left / width, top / height, (left + across) / width, (top + down) / height),
        template,
    )


def _colored(frames: np.ndarray) -> np.ndarray:
    """RGB pictures; horizontal and vertical flow become red and green."""
    if frames.shape[-1] == 3:
        return frames
    return np.concatenate([frames, np.full((*frames.shape[:-1], 1), 128, np.uint8)], axis=-1)


def with_heat(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 with evidence (h, w) from 0 to 1 drawn over it: from dark red to yellow."""
    from matplotlib import colormaps

    level = (np.clip(np.nan_to_num(heat), 0, 1) * 255).astype(np.uint8)
    enlarged = resize(np.repeat(level[None, ..., None], 3, axis=-1), picture.shape[0], picture.shape[1])
    smooth = enlarged[0, ..., 0] / 255.0
    colors = colormaps["inferno"](0.35 + 0.6 * smooth)[..., :3] * 255
    share = _OPACITY * smooth[..., None]
    mixed: np.ndarray = (picture * (1 - share) + colors * share).round().astype(np.uint8)
    return mixed
