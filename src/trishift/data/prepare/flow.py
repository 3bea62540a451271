"""Extract optical flow for the clips in lists, in the original file layout.

OUT/CLIP/flow_x_00001.jpg, flow_y_00001.jpg ...   step 1 is the motion from the first frame to the second
OUT/train.txt ...                                 the same lists with the number of flow steps per clip
OUT/report.json                                   unreadable clips, which are skipped
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from trishift.data.flow import SHORT_SIDE, FlowFolder, Method, flow_estimator, flow_pictures, picture_templates
from trishift.data.frames import VIDEO_SUFFIXES, FrameFolder
from trishift.data.lists import VideoRecord, read_list, write_list
from trishift.data.prepare.conversion import pictures, shrunk_size
from trishift.data.prepare.files import REPORT, replacing, write_json
from trishift.data.prepare.report import PreparationReport
from trishift.data.transforms import resize
from trishift.errors import DataError
from trishift.io.atomic import staged
from trishift.io.threads import map_in_threads
from trishift.io.wording import counted

TEMPLATE = "flow_{}_{:05d}.jpg"
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class FlowOptions:
    """Settings of the flow extraction.

    Attributes:
        method: see `flow.flow_estimator`.
        short_side: short side of the frames in pixels; smaller ones keep their size. Flow is measured in these pixels.
        template: file names, see `flow.picture_templates`.
        workers: threads; None for one per core.
        force: replace lists that differ.
    """

    method: Method = "dis"
    short_side: int = SHORT_SIDE
    template: str = TEMPLATE
    workers: int | None = None
    force: bool = False


def prepare_flow(
    lists: Sequence[Path],
    output: Path,
    *,
    clips: Path | None = None,
    class_names: Sequence[str] | None = None,
    options: FlowOptions = FlowOptions(),
) -> PreparationReport:
    """Extract the flow of every clip in some lists; a repeated call continues where an earlier one stopped.

    Args:
        lists: see `lists.read_list`.
        output: folder for flow and lists.
        clips: folder that the lists' paths are relative to; None for each list's own folder.
        class_names: class names for lists that use them as labels.
        options: see `FlowOptions`.

    Raises:
        DataError: a list cannot be read, two clips would share a folder, no clip can be read, or `output` holds
            different lists and `options.force` is not set.
        OutputError: `output` cannot be written.
        FrameworkError: the method is not installed.
    """
    flow_estimator(options.method)  # fails early if the method is missing
    records = {path: read_list(path, clips, class_names=class_names) for path in lists}
    sources = _sources(records, clips, output)
    results = map_in_threads(
        lambda target: _extract_or_reason(sources[target], target, options), list(sources), options.workers, "flow"
    )
    made = dict(zip(sources, results, strict=True))
    broken = {str(sources[to]): result for to, result in made.items() if isinstance(result, str)}
    report = PreparationReport("flow", str(output), labels="", broken=broken)
    if len(report.broken) == len(sources):
        raise DataError(
            f"none of the {counted(len(sources), 'clip')} can be read; first: {next(iter(report.broken.values()))}"
        )
    with replacing(output, options.force) as fresh:
        for path, of_list in records.items():
            targets = [_target(record.path, clips or path.parent, output) for record in of_list]
            kept = [
                replace(record, path=to, num_frames=steps)
                for record, to in zip(of_list, targets, strict=True)
                if isinstance(steps := made[to], int)
            ]
            name = path.name if all(len(record.labels) == 1 for record in kept) else f"{path.stem}.csv"
            write_list(fresh / name, kept, output)
            report.lists[name] = len(kept)
        write_json(fresh / REPORT, asdict(report))
    return report


def _sources(records: Mapping[Path, Sequence[VideoRecord]], clips: Path | None, output: Path) -> dict[Path, Path]:
    """Source clip of every flow folder."""
    sources: dict[Path, Path] = {}
    for path, of_list in records.items():
        for record in of_list:
            target = _target(record.path, clips or path.parent, output)
            if sources.setdefault(target, record.path) != record.path:
                raise DataError(f"{path}:{record.line}: {record.path} and {sources[target]} would share {target}")
    return sources


def _target(clip: Path, root: Path, output: Path) -> Path:
    """The folder of a clip's flow: the clip's path below its root, without a video suffix."""
    relative = clip.relative_to(root) if clip.is_relative_to(root) else Path(clip.name)
    return output / (relative.with_suffix("") if relative.suffix.lower() in VIDEO_SUFFIXES else relative)


def _extract_or_reason(source: Path, target: Path, options: FlowOptions) -> int | str:
    try:
        return FlowFolder(target, options.template).num_frames if target.is_dir() else _extract(source, target, options)
    except DataError as error:
        return str(error)


def _extract(source: Path, target: Path, options: FlowOptions) -> int:
    """Write the flow of a clip and return the number of steps; the folder appears only when complete."""
    templates = picture_templates(options.template, target.name)
    count = 0
    with staged(target, sync=False) as new:
        new.mkdir()
        for count, flow in enumerate(flow_pictures(_frames(source, options.short_side), source, options.method), 1):
            for name, picture in zip(templates, _files(flow, len(templates)), strict=True):
                Image.fromarray(picture).save(new / name.format(count), quality=_JPEG_QUALITY, subsampling=0)
        if count == 0:
            raise DataError(f"{source}: a single frame has no motion; remove the clip from the list")
    return count


def _frames(source: Path, short_side: int) -> Iterator[np.ndarray]:
    """Yield (H, W, 3) uint8 frames of a video or frame folder, shrunk to the short side."""
    if not source.is_dir():
        yield from pictures(source, short_side)
        return
    folder = FrameFolder(source)
    for index in range(folder.num_frames):
        frame = folder.read([index])
        width, height = shrunk_size(frame.shape[2], frame.shape[1], short_side)
        yield resize(frame, height, width)[0]


def _files(flow: np.ndarray, count: int) -> list[np.ndarray]:
    """Pictures of (H, W, 2) flow: x and y in gray, or one picture with x in red and y in green."""
    if count == 2:
        return [np.ascontiguousarray(flow[..., axis]) for axis in range(2)]
    return [np.concatenate([flow, np.zeros_like(flow[..., :1])], axis=-1)]
