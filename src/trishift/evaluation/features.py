"""Activations of named layers for every video of a list, one npz file each.

Shape legend: V views (clips x crops), T' segments at the layer, C channels, H x W the layer's map, K classes.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trishift.backends.contract import Predictor
from trishift.data.dataset import unlabeled_set
from trishift.data.loader import Loader
from trishift.data.protocol import Protocol
from trishift.errors import RecipeError
from trishift.io.atomic import write_atomically
from trishift.model.spec import InputSpec

_DESCRIPTION = "description"  # the array that holds the JSON of a file's settings


@dataclass(frozen=True)
class FeatureSettings:
    """What is written of each video; files that say the same need not be written again.

    Attributes:
        layers: modules of the backbone (`layer4`, `features.17`, `inception_5b`), `pooled` or `logits`.
        level: `frame`: (V, T', C); `clip`: mean over segments, (V, C); `video`: mean over views as well, (C).
            Logits are the clip's at both of the first two levels: (V, K).
        maps: keep H and W, which follow C then, instead of averaging over them.
        protocol: which clips and crops.
        weights: what tells one set of weights from another, for instance a hash.
    """

    layers: tuple[str, ...] = ("pooled",)
    level: Literal["frame", "clip", "video"] = "video"
    maps: bool = False
    protocol: Protocol = field(default_factory=Protocol)
    weights: str = ""

    def description(self) -> str:
        """The settings as JSON."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count` equal parts of a list: every `count`-th video."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard of `2/8`; RecipeError where it is no such fraction."""
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise RecipeError(f"shard {text!r}: write i/n with i from 1 to n, for instance 2/8")
        return cls(int(index), int(count))

    def of(self, items: list[Any]) -> list[Any]:
        """The items of this part."""
        return items[self.index - 1 :: self.count]


def output_paths(videos: list[Path], folder: Path) -> dict[Path, Path]:
    """Where the features of each video go: its path below what all videos have in common, and `.npz` after it."""
    absolute = {video: video.absolute() for video in videos}
    common = _common_folder(list(absolute.values()))
    return {video: folder / f"{path.relative_to(common)}.npz" for video, path in absolute.items()}


def _common_folder(paths: list[Path]) -> Path:
    return next(parent for parent in paths[0].parents if all(path.is_relative_to(parent) for path in paths))


def is_complete(path: Path, settings: FeatureSettings) -> bool:
    """Whether a file holds features of these settings; not so if it is damaged."""
    try:
        with np.load(path) as file:
            return str(file[_DESCRIPTION]) == settings.description()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False


def write_features(
    session: Predictor,
    input_spec: InputSpec,
    outputs: dict[Path, Path],
    settings: FeatureSettings,
    *,
    batch_size: int = 8,
    workers: int = 2,
) -> Iterator[Path | tuple[str, str]]:
    """Write the file of every video, each whole or not at all.

    Args:
        session: the network.
        input_spec: the pixels that it expects.
        outputs: video or frame folder to file.
        settings: what is written.
        batch_size: views per forward pass.
        workers: decoding threads.

    Yields:
        Each file as soon as it is there; at the end, (name, reason) of each video that could not be read.

    Raises:
        RecipeError: the network has no such layer.
    """
    videos = list(outputs)
    dataset = unlabeled_set(videos, input_spec, session.spec, settings.protocol)
    for batch in Loader(dataset, 1, shuffle=False, workers=workers).batches(0):
        if not batch.valid[0]:
            continue
        path = outputs[videos[batch.indices[0]]]
        _save(path, _video_features(session, batch.clips[0], settings, batch_size), settings)
        yield path
    yield from dataset.misses()


def _video_features(
    session: Predictor, views: np.ndarray, settings: FeatureSettings, batch_size: int
) -> dict[str, np.ndarray]:
    """Layer to array, as `FeatureSettings` says, of views (V, T, C, H, W)."""
    starts = range(0, len(views), batch_size)
    parts = [session.features(views[start : start + batch_size], settings.layers) for start in starts]
    return {
        layer: _reduced(np.concatenate([part[layer] for part in parts]), layer, settings) for layer in settings.layers
    }


def _reduced(array: np.ndarray, layer: str, settings: FeatureSettings) -> np.ndarray:
    """(V, T', C), (V, T', C, H, W) or logits (V, K), averaged as the settings say."""
    if array.ndim == 5 and not settings.maps:
        array = array.mean(axis=(3, 4))
    if settings.level != "frame" and layer != "logits":
        array = array.mean(axis=1)
    return array.mean(axis=0) if settings.level == "video" else array


def _save(path: Path, arrays: dict[str, np.ndarray], settings: FeatureSettings) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {**arrays, _DESCRIPTION: np.array(settings.description())}
    write_atomically(path, lambda file: np.savez(file, **content))


def pending(outputs: dict[Path, Path], settings: FeatureSettings) -> dict[Path, Path]:
    """The videos without a complete file."""
    return {video: path for video, path in outputs.items() if not is_complete(path, settings)}
