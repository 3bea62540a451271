"""Does the task need time? The same evaluation with frames reversed, shuffled, alone, or with less of them.

Every clip is read once and altered in memory. Alterations work on the T segments that the network takes: what lies
between them is never seen.

Shape legend: N clips, T segments, L frames per segment, C channels, H x W pixels, V videos, K classes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from trishift.backends.contract import Predictor
from trishift.data.dataset import EvaluationSet
from trishift.data.sampling import uniform_eval
from trishift.errors import DataError, RecipeError
from trishift.evaluation.evaluator import iter_videos
from trishift.model.pixels import segment_length
from trishift.model.relations import prediction_relations
from trishift.model.spec import InputSpec, ModelSpec

Variant = Literal["as trained", "backward", "shuffled", "single frames", "still border"]
VARIANTS: dict[str, str] = {
    "as trained": "the clips as they are",
    "backward": "the last frame first",
    "shuffled": "segments in random order",
    "single frames": "every frame alone, repeated to a clip; the logits are averaged",
    "still border": "the border of the pictures, without what moves in it (its median over time); the rest is gray",
}
FEWER = (1, 2, 4, 8, 16)
_BORDER = 0.15  # of the shorter side
_Alter = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Audited:
    """Scores of V videos under every alteration.

    Attributes:
        labels: K class names.
        names: V videos.
        targets: (V,) class numbers, or (V, K) zeros and ones.
        groups: V groups.
        scores: alteration to (V, K) logits; `VARIANTS`, and numbers of segments as text.
        misses: (name, reason) of unreadable videos.
        spec: the network.
    """

    labels: tuple[str, ...]
    names: list[str]
    targets: np.ndarray
    groups: list[str]
    scores: Mapping[str, np.ndarray]
    misses: list[tuple[str, str]]
    spec: ModelSpec

    def joined(self, other: Audited) -> Audited:
        """Both, for instance of two folds.

        Raises:
            DataError: their classes or segments differ.
        """
        if (self.labels, self.spec.num_segments) != (other.labels, other.spec.num_segments):
            raise DataError("the weights have other classes or another number of segments; audit them one by one")
        return replace(
            self,
            names=self.names + other.names,
            targets=np.concatenate([self.targets, other.targets]),
            groups=self.groups + other.groups,
            scores={name: np.concatenate([rows, other.scores[name]]) for name, rows in self.scores.items()},
            misses=self.misses + other.misses,
        )


def audit(session: Predictor, pixels: InputSpec, dataset: EvaluationSet, *, batch_size: int, workers: int) -> Audited:
    """Score every video of a labeled dataset under every alteration.

    Args:
        session: the model.
        pixels: the input that it expects.
        dataset: videos.
        batch_size: videos and views per forward pass.
        workers: threads or processes that read clips.

    Raises:
        DataError: no video could be read, there is one class only, or scores are not finite.
        RecipeError: a model of optical flow or differences, which are motion themselves.
    """
    spec = session.spec
    if pixels.modality != "rgb":
        raise RecipeError(f"audit: the model takes {pixels.modality}, which is motion itself; audit one of RGB frames")
    if dataset.num_classes < 2:
        raise DataError("audit: there is only one class, so there is nothing to tell apart; add clips of other classes")
    forms = _forms(session, segment_length(pixels.modality, spec.in_channels))

    def compute(clips: np.ndarray) -> np.ndarray:
        return np.stack([form(clips) for form in forms.values()], axis=1)  # (N, alterations, K)

    rows: dict[int, np.ndarray] = {}
    for index, row in iter_videos(session, dataset, compute, batch_size=batch_size, workers=workers):
        rows[index] = row
    if not rows:
        raise DataError(f"none of the {len(dataset)} videos could be read; first: {dataset.misses()[0][1]}")
    kept = sorted(rows)
    scores = np.stack([rows[index] for index in kept])
    broken = ~np.isfinite(scores).all(axis=(1, 2))
    if broken.any():
        first = dataset.name(kept[int(broken.argmax())])
        raise DataError(
            f"{first}: the scores are not finite, nor those of {broken.sum() - 1} others; check the weights"
        )
    return Audited(
        labels=tuple(dataset.labels),
        names=[dataset.name(index) for index in kept],
        targets=np.array([dataset.target(index) for index in kept]),
        groups=[dataset.group(index) for index in kept],
        scores={name: scores[:, place] for place, name in enumerate(forms)},
        misses=dataset.misses(),
        spec=spec,
    )


def _forms(session: Predictor, length: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Alteration to the logits (N, K) of clips (N, T, C, H, W)."""

    def predicted(alter: _Alter) -> Callable[[np.ndarray], np.ndarray]:
        return lambda clips: _predict(session, alter(clips))

    def by_frames(clips: np.ndarray) -> np.ndarray:
        alone = [_predict(session, _frozen(clips, place, length)) for place in range(session.spec.num_segments)]
        mean: np.ndarray = np.mean(alone, axis=0)
        return mean

    alterations: dict[str, _Alter] = {
        "as trained": lambda clips: clips,
        "backward": lambda clips: _as_frames(clips, length)[:, ::-1].reshape(clips.shape),
        "shuffled": _shuffled,
        "still border": lambda clips: _border(clips, length),
    }
    forms = {name: predicted(alterations[name]) if name in alterations else by_frames for name in VARIANTS}
    for count in (count for count in FEWER if count < session.spec.num_segments):
        forms[str(count)] = predicted(partial(_thinned, count=count))
    return forms


def _predict(session: Predictor, clips: np.ndarray) -> np.ndarray:
    return session.predict(np.ascontiguousarray(clips), prediction_relations(session.spec))


def _as_frames(clips: np.ndarray, length: int) -> np.ndarray:
    """(N, T, L * C', H, W) to (N, T * L, C', H, W)."""
    return clips.reshape(len(clips), clips.shape[1] * length, -1, *clips.shape[3:])


def _shuffled(clips: np.ndarray) -> np.ndarray:
    """Segments in an order that is drawn from the pixels of each clip, so that it does not depend on the batch."""
    orders = [np.random.default_rng(zlib.crc32(clip.tobytes())).permutation(len(clip)) for clip in clips]
    return np.stack([clip[order] for clip, order in zip(clips, orders, strict=True)])


def _frozen(clips: np.ndarray, place: int, length: int) -> np.ndarray:
    frames = _as_frames(clips, length)
    frame = place * length + length // 2
    return np.repeat(frames[:, frame : frame + 1], frames.shape[1], axis=1).reshape(clips.shape)


def _thinned(clips: np.ndarray, count: int) -> np.ndarray:
    """Some of the segments, as evenly spread as in sampling, each repeated to fill the clip; one freezes the clip."""
    segments = clips.shape[1]
    chosen = uniform_eval(segments, count).reshape(-1)
    return clips[:, chosen[np.arange(segments) * count // segments]]


def _border(clips: np.ndarray, length: int) -> np.ndarray:
    frames = _as_frames(clips, length)
    width = max(1, round(_BORDER * min(clips.shape[3:])))
    still = np.median(frames, axis=1, keepdims=True).astype(np.float32)
    still[..., width:-width, width:-width] = 0  # the mean color
    return np.repeat(still, frames.shape[1], axis=1).reshape(clips.shape)
