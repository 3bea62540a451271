"""Activations of named layers, one npz file per video.

Shape legend: V views (clips x crops), T' segments at the layer, C channels, H x W the layer's feature map, K classes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from trishift.backends.contract import Predictor
from trishift.data.dataset import EvaluationSet
from trishift.data.lists import ClipList
from trishift.data.loader import Loader
from trishift.data.opening import unlabeled_set
from trishift.data.protocol import Protocol
from trishift.errors import DataError
from trishift.evaluation.evaluator import iter_videos
from trishift.evaluation.prediction import Miss
from trishift.io.npz import read_npz, write_npz
from trishift.model.spec import InputSpec

_DESCRIPTION = "description"  # name of the array with the settings as JSON


@dataclass(frozen=True)
class FeatureSettings:
    """The content of each file; files with equal settings are not written again.

    Attributes:
        layers: modules of the backbone (`layer4`, `features.17`, `inception_5b`), `pooled` or `logits`.
        level: `frame`: (V, T', C); `clip`: mean over segments, (V, C); `video`: mean over views as well, (C).
            Logits are per clip, (V, K), at the `frame` and `clip` levels.
        maps: keep H and W (after C) instead of averaging over them.
        protocol: which clips and crops are used.
        weights: identifies the weights, for instance by a hash.
        template: file name of a frame in a frame folder; None: detected.
    """

    layers: tuple[str, ...] = ("pooled",)
    level: Literal["frame", "clip", "video"] = "video"
    maps: bool = False
    protocol: Protocol = field(default_factory=Protocol)
    weights: str = ""
    template: str | None = None

    def description(self) -> str:
        """The settings as JSON."""
        entries = asdict(self)
        if self.template is None:  # as written by versions without templates
            del entries["template"]
        return json.dumps(entries, sort_keys=True)


def output_paths(videos: list[Path], folder: Path) -> dict[Path, Path]:
    """The output file of each video: its path below the common folder of all videos, plus `.npz`.

    Raises:
        DataError: a video is named in two ways.
    """
    clips = ClipList.of(videos)
    absolute = {video: Path(clips.name(number)).absolute() for number, video in enumerate(videos)}
    common = _common_folder(list(absolute.values()))
    outputs = {video: folder / f"{path.relative_to(common)}.npz" for video, path in absolute.items()}
    if len(set(outputs.values())) < len(outputs):
        shared = Counter(outputs.values()).most_common(1)[0][0]
        raise DataError(f"{shared}: is the output of several videos; name each of them in one way only")
    return outputs


def _common_folder(paths: list[Path]) -> Path:
    return next(parent for parent in paths[0].parents if all(path.is_relative_to(parent) for path in paths))


def is_complete(path: Path, settings: FeatureSettings) -> bool:
    """Whether a file contains features with these settings; False if it is damaged."""
    try:
        return str(*read_npz(path, [_DESCRIPTION])) == settings.description()
    except ValueError:
        return False


def check_layers(session: Predictor, input_spec: InputSpec, layers: Sequence[str]) -> None:
    """Refuse layers that the network does not have.

    Raises:
        RecipeError: names a missing layer.
    """
    spec = session.spec
    shape = (1, spec.num_segments, spec.in_channels, *input_spec.crop_size)
    session.features(np.zeros(shape, np.float32), layers)


def write_features(
    session: Predictor,
    input_spec: InputSpec,
    outputs: dict[Path, Path],
    settings: FeatureSettings,
    *,
    batch_size: int = 8,
    workers: int = 2,
    only: Sequence[int] | np.ndarray | None = None,
) -> Iterator[tuple[int, Path | Miss]]:
    """Write one file per video, each atomically.

    Args:
        session: the network.
        input_spec: the pixels that it expects.
        outputs: video or frame folder to file.
        settings: layers, level and protocol.
        batch_size: views per forward pass.
        workers: threads or processes that read clips.
        only: indices of the videos to read; None: all.

    Yields:
        In the order of the list, the index of each video, and its file as soon as it is written, or a `Miss` if it
        cannot be read.

    Raises:
        RecipeError: the network has no such layer.
    """
    videos = list(outputs)
    dataset = unlabeled_set(videos, input_spec, session.spec, settings.protocol, settings.template)
    for batch in Loader(dataset, 1, shuffle=False, workers=workers, only=only).batches(0):
        index = int(batch.indices[0])
        if not batch.valid[0]:
            yield index, Miss(dataset.name(index), dataset.take_miss(index))
            continue
        _save(outputs[videos[index]], _video_features(session, batch.clips[0], settings, batch_size), settings)
        yield index, outputs[videos[index]]


def pooled_features(
    session: Predictor, dataset: EvaluationSet, *, batch_size: int, workers: int, still: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The features under the head of every video, averaged over frames and views. Every rank must call this.

    Args:
        session: the network.
        dataset: N videos.
        batch_size: videos and views per forward pass.
        workers: threads or processes that read clips.
        still: also compute features without motion, of clips that repeat their middle frame.

    Returns:
        (N, F) float32, or (N, 2, F) if `still`; and (N,) bool: which videos could be read.

    Raises:
        DataError: no video could be read.
    """

    def pooled(clips: np.ndarray) -> np.ndarray:
        moving: np.ndarray = session.features(clips, ("pooled",))["pooled"].mean(axis=1)
        if not still:
            return moving
        middle = clips.shape[1] // 2
        frozen = np.repeat(clips[:, middle : middle + 1], clips.shape[1], axis=1)
        return np.stack([moving, session.features(frozen, ("pooled",))["pooled"].mean(axis=1)], axis=1)

    rows: list[np.ndarray | None] = [None] * len(dataset)
    for index, row in iter_videos(session, dataset, pooled, batch_size=batch_size, workers=workers):
        rows[index] = row
    found = next((row for row in rows if row is not None), None)
    if found is None:
        raise DataError(f"none of the {len(dataset)} videos could be read; first: {dataset.misses()[0][1]}")
    readable = np.array([row is not None for row in rows])
    return np.stack([np.zeros_like(found) if row is None else row for row in rows]), readable


def _video_features(
    session: Predictor, views: np.ndarray, settings: FeatureSettings, batch_size: int
) -> dict[str, np.ndarray]:
    """Layer to array of views (V, T, C, H, W), reduced as in `FeatureSettings`."""
    starts = range(0, len(views), batch_size)
    parts = [session.features(views[start : start + batch_size], settings.layers) for start in starts]
    return {
        layer: _reduced(np.concatenate([part[layer] for part in parts]), layer, settings) for layer in settings.layers
    }


def _reduced(array: np.ndarray, layer: str, settings: FeatureSettings) -> np.ndarray:
    """(V, T', C), (V, T', C, H, W) or logits (V, K), averaged to the requested level."""
    if array.ndim == 5 and not settings.maps:
        array = array.mean(axis=(3, 4))
    if settings.level != "frame" and layer != "logits":
        array = array.mean(axis=1)
    return array.mean(axis=0) if settings.level == "video" else array


def _save(path: Path, arrays: dict[str, np.ndarray], settings: FeatureSettings) -> None:
    content = {**arrays, _DESCRIPTION: np.array(settings.description())}
    write_npz(path, content, compressed=False)


def pending(outputs: dict[Path, Path], settings: FeatureSettings) -> dict[Path, Path]:
    """The videos whose file is missing or incomplete."""
    return {video: path for video, path in outputs.items() if not is_complete(path, settings)}
