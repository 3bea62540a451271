"""The frames of a clip as the network sees them, and the scores of each frame alone.

Shape legend: T frames, H x W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trishift.data.dataset import EvaluationSet
from trishift.model.pixels import normalization
from trishift.model.spec import InputSpec


@dataclass(frozen=True)
class Film:
    """A clip in frames.

    Attributes:
        pictures: (T, H, W, 3) uint8, RGB.
        logits: (T, K) of each frame alone; None if the network's head needs several frames.
    """

    pictures: np.ndarray
    logits: np.ndarray | None


def read_films(session: Any, dataset: EvaluationSet, names: Iterable[str]) -> Mapping[str, Film]:
    """The films of the readable ones of some clips by name; of several views, the middle one.

    Args:
        session: the network, a `Session`, or the program of an export, which cannot score frames.
        dataset: contains the clips; its input is RGB.
        names: the clips' names in the data set.
    """
    wanted = set(names)
    places = {name: index for index in range(len(dataset)) if (name := dataset.name(index)) in wanted}
    films = {}
    for name, index in places.items():
        sample = dataset.load(index)
        if sample.valid:
            clip = sample.clips[len(sample.clips) // 2]
            films[name] = Film(pictures(clip, dataset.input), frame_logits(session, clip))
    return films


def pictures(clip: np.ndarray, pixels: InputSpec) -> np.ndarray:
    """Undo the normalization: RGB segments (T, C, H, W) to (T, H, W, 3) uint8; of several frames, the middle one."""
    middle = clip.shape[1] // 3 // 2 * 3
    frames = clip[:, middle : middle + 3]
    rule = normalization(pixels, 3)
    colors = np.rint((frames + rule.offsets) / rule.factors).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return colors[..., ::-1] if pixels.channel_order == "bgr" else colors


def frame_logits(session: Any, clip: np.ndarray) -> np.ndarray | None:
    """(T, K) logits of the frames of a clip (T, C, H, W), whose mean is that of the clip; None if there are none."""
    spec = session.spec
    if spec.head.consensus != "average" or spec.output_segments != spec.num_segments or not session.has_layers:
        return None
    features = session.features(clip[None], ["pooled"])["pooled"][0]  # (T, F)
    logits: np.ndarray = session.classify(features[:, None])
    return logits
