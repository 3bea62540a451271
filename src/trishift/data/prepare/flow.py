"""Extract the optical flow of the clips of lists, in the originals' files.

OUT/CLIP/flow_x_00001.jpg, flow_y_00001.jpg ...   step 1 leads from the first frame to the second
OUT/train.txt ...                                 the lists again, with the numbers of steps
OUT/report.json                                   clips that cannot be read; left out
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from trishift.data.flow import SHORT_SIDE, FlowFolder, Method, flow_estimator, flow_pictures, picture_templates
from trishift.data.frames import VIDEO_SUFFIXES, FrameFolder
from trishift.data.lists import VideoRecord, read_list, write_list
from trishift.data.prepare.conversion import pictures, shrunk_size
from trishift.data.prepare.files import UNFINISHED, write_json
from trishift.data.transforms import resize
from trishift.errors import DataError
from trishift.io.threads import map_in_threads

TEMPLATE = "flow_{}_{:05d}.jpg"
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class FlowOptions:
    """How flow is extracted.

    Attributes:
        method: see `flow.flow_estimator`.
        short_side: of the frames, in pixels; smaller ones keep their size. Flow is measured in these pixels.
        template: file names, see `flow.picture_templates`.
        workers: threads; None for one per core.
    """

    method: Method = "dis"
    short_side: int = SHORT_SIDE
    template: str = TEMPLATE
    workers: int | None = None


@dataclass
class FlowReport:
    """What was extracted: list file to the number of its clips, and what could not be read and why."""

    lists: dict[str, int] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lists = ", ".join(f"{clips} clips in {name}" for name, clips in self.lists.items())
        return "\n".join([f"flow: {lists}", *(f"left out: {reason}" for reason in self.broken.values())])


def prepare_flow(
    lists: Sequence[Path],
    output: Path,
    *,
    clips: Path | None = None,
    class_names: Sequence[str] | None = None,
    options: FlowOptions = FlowOptions(),
) -> FlowReport:
    """Extract the flow of all clips of some lists; repeating goes on where an earlier run stopped.

    Args:
        lists: see `lists.read_list`.
        output: folder for flow and lists.
        clips: folder that the paths in the lists are relative to; None: each list's own.
        class_names: for lists that name classes.
        options: see `FlowOptions`.

    Raises:
        DataError: a list cannot be read, two clips would share a folder, none can be read, or nothing can be written.
        FrameworkError: the method is not installed.
    """
    flow_estimator(options.method)  # complains before anything is done
    records = {path: read_list(path, clips, class_names=class_names) for path in lists}
    sources = _sources(records, clips, output)
    results = map_in_threads(
        lambda target: _extract_or_reason(sources[target], target, options), list(sources), options.workers, "flow"
    )
    made = dict(zip(sources, results, strict=True))
    report = FlowReport(broken={str(sources[to]): result for to, result in made.items() if isinstance(result, str)})
    if len(report.broken) == len(sources):
        raise DataError(f"none of the {len(sources)} clips can be read; first: {next(iter(report.broken.values()))}")
    for path, of_list in records.items():
        targets = [_target(record.path, clips or path.parent, output) for record in of_list]
        kept = [
            replace(record, path=to, num_frames=steps)
            for record, to in zip(of_list, targets, strict=True)
            if isinstance(steps := made[to], int)
        ]
        name = path.name if all(len(record.labels) == 1 for record in kept) else f"{path.stem}.csv"
        write_list(output / name, kept, output)
        report.lists[name] = len(kept)
    write_json(output / "report.json", asdict(report))
    return report


def _sources(records: Mapping[Path, Sequence[VideoRecord]], clips: Path | None, output: Path) -> dict[Path, Path]:
    """Folder of the flow to clip."""
    sources: dict[Path, Path] = {}
    for path, of_list in records.items():
        for record in of_list:
            target = _target(record.path, clips or path.parent, output)
            if sources.setdefault(target, record.path) != record.path:
                raise DataError(f"{path}:{record.line}: {record.path} and {sources[target]} would share {target}")
    return sources


def _target(clip: Path, root: Path, output: Path) -> Path:
    """The folder of a clip's flow: where the clip lies under its root, without the suffix of a video."""
    relative = clip.relative_to(root) if clip.is_relative_to(root) else Path(clip.name)
    return output / (relative.with_suffix("") if relative.suffix.lower() in VIDEO_SUFFIXES else relative)


def _extract_or_reason(source: Path, target: Path, options: FlowOptions) -> int | str:
    try:
        return FlowFolder(target, options.template).num_frames if target.is_dir() else _extract(source, target, options)
    except DataError as error:
        return str(error)


def _extract(source: Path, target: Path, options: FlowOptions) -> int:
    """Write the flow of a clip; the folder appears when it is complete. Returns the number of steps."""
    unfinished = target.with_name(f"{UNFINISHED}{target.name}")
    templates = picture_templates(options.template, target.name)
    count = 0
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for count, flow in enumerate(flow_pictures(_frames(source, options.short_side), source, options.method), 1):
            for name, picture in zip(templates, _files(flow, len(templates)), strict=True):
                Image.fromarray(picture).save(unfinished / name.format(count), quality=_JPEG_QUALITY, subsampling=0)
        if count == 0:
            raise DataError(f"{source}: has a single frame and so no motion; leave it out")
        unfinished.replace(target)
    except OSError as error:
        raise DataError(f"{source}: its flow cannot be written to {target} ({error}); is the disk full?") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return count


def _frames(source: Path, short_side: int) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 frames of a video or of a folder of pictures, made smaller."""
    if not source.is_dir():
        yield from pictures(source, short_side)
        return
    folder = FrameFolder(source)
    for index in range(folder.num_frames):
        frame = folder.read([index])
        width, height = shrunk_size(frame.shape[2], frame.shape[1], short_side)
        yield resize(frame, height, width)[0]


def _files(flow: np.ndarray, count: int) -> list[np.ndarray]:
    """What is saved of (H, W, 2): x and y in gray, or one picture with x in red and y in green."""
    if count == 2:
        return [np.ascontiguousarray(flow[..., axis]) for axis in range(2)]
    return [np.concatenate([flow, np.zeros_like(flow[..., :1])], axis=-1)]
