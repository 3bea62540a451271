"""Optical flow of a clip as pictures: read from a folder, or computed from a video.

Picture i holds the motion of each pixel from frame i to frame i + 1, in 8 bits per direction: 255 * (v + 20) / 40
(TSN's extraction, Wang et al. 2016, arXiv:1608.00859). 128 means no motion; motion is clipped to 20 pixels.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trishift.data.frames import FrameFolder, entry_names
from trishift.data.opencv import import_opencv
from trishift.data.picture_names import find_series, flow_folders, flow_pairs, flow_trees, lone_directions
from trishift.data.sources import FrameSource
from trishift.data.sources import open_flow as open_flow  # importable from here as well
from trishift.data.transforms import resize, resized_size
from trishift.data.video import VideoFile
from trishift.errors import DataError, FrameworkError
from trishift.io.storage.ranges import Ranges

BOUND = 20.0  # pixels per frame
SHORT_SIDE = 256  # maximum short side of the frames that flow is computed from
Method = Literal["dis", "tvl1"]

_FRAMES_AT_ONCE = 32  # flow steps computed per read of the video


def picture_templates(template: str, folder: str) -> tuple[str, ...]:
    """Expand a flow template to the frame templates of a folder: one each for x and y, or one for both.

    The originals use `flow_{}_{:05d}.jpg` (UCF101, HMDB51; `{}` is x or y, `{:05d}` the step),
    `{:06d}-{}_{:05d}.jpg` (Something-Something V1; starts with the folder's number) and `{:06d}.jpg`
    (Something-Something V2; red is x, green is y).

    Raises:
        DataError: the template is malformed, or needs a numeric folder name.
    """
    try:
        fields = [spec or "" for _, name, spec, _ in string.Formatter().parse(template) if name is not None]
        step = max(place for place, spec in enumerate(fields) if spec)
        directions = ("x", "y") if "" in fields else ("",)
        values = [
            [_Later() if place == step else int(folder) if spec else axis for place, spec in enumerate(fields)]
            for axis in directions
        ]
        return tuple(template.format(*each) for each in values)
    except (IndexError, KeyError, ValueError):
        raise DataError(
            f"flow template {template!r} does not fit folder {folder!r}; write the direction as {{}} and the step as a "
            "number, optionally preceded by the number of the folder, as in flow_{}_{:05d}.jpg"
        ) from None


class _Later:
    """A number that is not known yet; formatting it keeps the replacement field."""

    def __format__(self, spec: str) -> str:
        return f"{{:{spec}}}"


class FlowFolder(FrameSource):
    """A folder of flow pictures: per step, a gray picture each for x and y, or a color picture with both.

    The directions are told apart by the file names (`flow_x_00001.jpg`, `flow_u_00001.jpg`, ...) or by folders inside
    the clip (`x/00001.jpg`, `flow_u/00001.jpg`, ...).
    """

    def __init__(
        self, path: str | Path, template: str | None = None, stored: Mapping[str, Ranges] | None = None
    ) -> None:
        self.path = Path(path)
        self.fps = None
        if template:
            templates = picture_templates(template, self.path.name)
            self._directions = [FrameFolder(self.path, each, stored) for each in templates]
        else:
            self._directions = _detect(self.path, stored)
        if len({tuple(each.numbers) for each in self._directions}) > 1:
            counts = " and ".join(f"{each.num_frames} named {each.template}" for each in self._directions)
            raise DataError(f"{self.path}: flow pictures without counterparts: {counts}; extract the flow again")
        self.num_frames = self._directions[0].num_frames
        if len(self._directions) == 1 and self._directions[0].is_gray():
            raise DataError(
                f"{self.path}: {self._directions[0].template} are gray, so they show one direction only; "
                "extract the flow again"
            )

    def _read(self, wanted: list[int]) -> np.ndarray:
        pictures = [each.read(wanted) for each in self._directions]
        if len(pictures) == 1:
            return pictures[0][..., :2]
        if pictures[0].shape != pictures[1].shape:
            raise DataError(f"{self.path}: the pictures of x and y differ in size; extract the flow again")
        return np.stack([each[..., 0] for each in pictures], axis=-1)


def _detect(folder: Path, stored: Mapping[str, Ranges] | None) -> list[FrameFolder]:
    """The pictures of x and y, or those that show both."""
    trees = flow_trees(folder)
    if trees is not None:
        return [_only_series(each) for each in trees]
    series = find_series(entry_names(folder, stored))
    lone = lone_directions(series)
    if lone:
        raise DataError(
            f"{folder}: {lone[0].template} shows one direction of flow, and the pictures of the other are missing; "
            "extract the flow again"
        )
    pairs = flow_pairs(series)
    both = [each for each in series if each.kind == "flow"]
    if len(pairs) > 1 or (not pairs and len(both) > 1):
        first, second = (pairs[0][0], pairs[1][0]) if pairs else both[:2]
        raise DataError(
            f"{folder}: has several series of flow ({first.template}, {second.template}); select one in the recipe "
            "(data.template)"
        )
    if pairs or both:
        return [FrameFolder(folder, each.template, stored) for each in (pairs[0] if pairs else both)]
    folders = flow_folders(folder)
    if folders is not None:
        return [_only_series(each) for each in folders]
    raise DataError(
        f"{folder}: holds no flow pictures (such as flow_x_00001.jpg and flow_y_00001.jpg); extract them with "
        "trishift prepare flow, or name them in the recipe (data.template)"
    )


def _only_series(folder: Path) -> FrameFolder:
    """The pictures of one direction in a separate folder."""
    series = find_series(entry_names(folder, None))
    if len(series) != 1:
        raise DataError(f"{folder}: has {len(series)} series of pictures; one direction of flow is one series")
    return FrameFolder(folder, series[0].template)


class VideoFlow(FrameSource):
    """The flow of a video, computed on reading, at a short side of at most 256 pixels."""

    def __init__(self, path: str | Path, method: Method = "dis") -> None:
        self.path = Path(path)
        self._video = VideoFile(path)
        self.fps = self._video.fps
        self.num_frames = self._video.num_frames - 1
        self._method = method
        if self.num_frames < 1:
            self._video.close()
            raise DataError(f"{self.path}: has a single frame and so no motion; remove it")

    def close(self) -> None:
        """Close the video."""
        self._video.close()

    def _read(self, wanted: list[int]) -> np.ndarray:
        estimate = flow_estimator(self._method)
        steps = sorted(set(wanted))
        pictures: dict[int, np.ndarray] = {}
        for start in range(0, len(steps), _FRAMES_AT_ONCE):
            some = steps[start : start + _FRAMES_AT_ONCE]
            numbers = sorted({number for step in some for number in (step, step + 1)})
            frames = dict(zip(numbers, _small(self._video.read(numbers)), strict=True))
            pictures |= {step: _picture(estimate, frames[step], frames[step + 1], self.path) for step in some}
        return np.stack([pictures[step] for step in wanted]) if wanted else np.empty((0, 0, 0, 2), np.uint8)


def flow_pictures(frames: Iterable[np.ndarray], path: Path, method: Method = "dis") -> Iterator[np.ndarray]:
    """Yield (H, W, 2) uint8 flow for each pair of consecutive (H, W, 3) uint8 RGB frames; `path` is for errors."""
    estimate = flow_estimator(method)
    for before, after in pairwise(frames):
        yield _picture(estimate, before, after, path)


Estimator = Callable[[np.ndarray, np.ndarray], np.ndarray]  # two (H, W, 3) uint8 RGB frames to (H, W, 2) pixels


def flow_estimator(method: Method) -> Estimator:
    """Create a function that computes flow, for use in one thread.

    `dis` is dense inverse search (Kroeger et al. 2016, arXiv:1603.03590), medium preset. `tvl1` is dual TV-L1 (Zach et
    al. 2007), which the originals use; it is slower and needs opencv-contrib.

    Raises:
        FrameworkError: OpenCV or its contrib modules are not installed.
    """
    cv2 = import_opencv("optical flow needs")
    cv2.setNumThreads(1)  # clips are computed in parallel
    if method == "dis":
        algorithm: Any = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    elif hasattr(cv2, "optflow"):
        algorithm = cv2.optflow.DualTVL1OpticalFlow_create()
    else:
        raise FrameworkError("tvl1 needs OpenCV's contrib modules; run: pip install opencv-contrib-python-headless")

    def estimate(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        gray = (cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in (before, after))
        flow: np.ndarray = algorithm.calc(*gray, None)
        return flow

    return estimate


def _picture(estimate: Estimator, before: np.ndarray, after: np.ndarray, path: Path) -> np.ndarray:
    height, width = before.shape[:2]
    if min(height, width) < 12:
        raise DataError(f"{path}: frames of {width} x {height} pixels are too small for optical flow")
    return as_picture(estimate(before, after))


def as_picture(flow: np.ndarray) -> np.ndarray:
    """Quantize flow in pixels per frame to 8 bits, see the module's docstring."""
    return np.rint((flow.clip(-BOUND, BOUND) + BOUND) * (255 / (2 * BOUND))).astype(np.uint8)


def _small(frames: np.ndarray) -> np.ndarray:
    height, width = frames.shape[1:3]
    return (
        frames
        if min(height, width) <= SHORT_SIDE
        else resize(frames, *resized_size(height, width, (SHORT_SIDE, SHORT_SIDE)))
    )
