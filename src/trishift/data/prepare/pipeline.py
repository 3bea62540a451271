"""From downloads to lists: unpack, read the annotations, find the clips, check or convert them, write.

OUT/train.txt, val.txt   `path frames label` or `path label` per line; multi-label sets have train.csv and val.csv
OUT/labels.txt           class names in index order
OUT/report.json          missing and broken clips
OUT/frames-256/...       extracted frames, if requested
OUT/videos-256/...       re-encoded videos, if requested
OUT/unpacked.json        names of the unpacked archives; their contents are in OUT with the original layout
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from trishift.data.lists import VideoRecord, write_labels, write_list
from trishift.data.prepare.catalog import Catalog, Clip, Dataset, check_names
from trishift.data.prepare.checking import check_clip, is_truncated
from trishift.data.prepare.conversion import Conversion
from trishift.data.prepare.files import REPORT, replacing, write_json
from trishift.data.prepare.report import PreparationReport
from trishift.data.prepare.tree import Tree
from trishift.data.prepare.unpacking import require_complete, unpack
from trishift.data.sources import open_clip
from trishift.data.video import probe
from trishift.errors import DataError
from trishift.io.threads import map_in_threads
from trishift.io.wording import counted, nearest_path


@dataclass(frozen=True)
class Options:
    """Options shared by all public data sets.

    Attributes:
        convert: extract `frames`, re-encode `videos`, or keep the clips as is (None).
        short_side: short side of converted clips in pixels; None for 256, or the original code's size for frames.
        check: `first` decodes the first frame of every clip, `all` every frame, `none` nothing. Converted clips are
            always decoded completely.
        workers: threads; None for one per core.
        incomplete: continue without the contents missing from damaged archives.
        force: replace lists and labels that differ.
    """

    convert: Literal["frames", "videos"] | None = None
    short_side: int | None = None
    check: Literal["none", "first", "all"] = "first"
    workers: int | None = None
    incomplete: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if self.short_side is not None and self.short_side < 16:
            raise DataError(f"prepare: a short side of {self.short_side} pixels is too small; 256 is usual")


@dataclass(frozen=True)
class ListNames:
    """Names of the output files.

    Attributes:
        labels: label file.
        suffix: suffix of the lists, after `train` and `val`.
        beside_clips: list paths are relative to the folder that holds the clips, not to the output folder.
    """

    labels: str = "labels.txt"
    suffix: str = ".txt"
    beside_clips: bool = False


@dataclass(frozen=True)
class _Outcome:
    """Result for one clip: a usable one has a path, a missing one has neither path nor problem."""

    path: Path | None = None
    num_frames: int | None = None
    problem: str | None = None
    announced_frames: int | None = None


def prepare(
    dataset: Dataset,
    root: str | Path,
    output: str | Path,
    options: Options | None = None,
    names: ListNames | None = None,
) -> PreparationReport:
    """Prepare a data set; a repeated call continues where an earlier one stopped.

    Args:
        dataset: the data set.
        root: the downloads: archives, unpacked folders and annotations, in any layout.
        output: folder for all results; may be `root`.
        options: see `Options`.
        names: names of the output files.

    Raises:
        DataError: `root` is not a folder, archives are damaged (unless `options.incomplete`), annotations are missing
            or contradictory, no clip is found, or `output` holds different lists and `options.force` is not set.
        OutputError: `output` cannot be written.
    """
    options, names = options or Options(), names or ListNames()
    root, output = Path(root).absolute(), Path(output).absolute()
    if not root.is_dir():
        hint = nearest_path(root) or "; give the folder with the downloaded files"
        raise DataError(f"{root}: not a folder{hint}")
    report = PreparationReport(dataset.name, str(output), names.labels, archives=unpack(root, output, options.workers))
    require_complete(report.archives, options.incomplete)
    tree = Tree([output, root])
    catalog = dataset.read(tree)
    check_names(catalog)
    outcomes = _process(dataset, catalog, tree, output, options)
    _note(report, dataset, catalog, outcomes)
    if all(outcome.path is None for outcome in outcomes.values()):
        clips = counted(len(outcomes), "annotated clip")
        raise DataError(f"{root}: none of the {clips} can be used; {_first(outcomes)}")
    _write(report, catalog, outcomes, names, options.force)
    return report


def _process(dataset: Dataset, catalog: Catalog, tree: Tree, output: Path, options: Options) -> dict[str, _Outcome]:
    """Check or convert every clip; returns outcomes by clip name."""
    conversion = None
    if options.convert is not None:
        usual = dataset.short_side if options.convert == "frames" else 256
        conversion = Conversion(options.convert, options.short_side or usual, dataset.template)
    clips = {clip.name: clip for clips in catalog.splits.values() for clip in clips}

    def process(clip: Clip) -> _Outcome:
        try:
            source = tree.clip(clip.aliases or (clip.name,))
            if conversion is None or (source is not None and source.is_dir()):
                return _check(source, options.check)
            return _convert(conversion, source, conversion.target(output, clip.name))
        except DataError as error:
            return _Outcome(problem=str(error))

    title = "checking clips" if conversion is None else f"making {conversion.kind}"
    return dict(zip(clips, map_in_threads(process, list(clips.values()), options.workers, title), strict=True))


def _convert(conversion: Conversion, source: Path | None, target: Path) -> _Outcome:
    frames = conversion.finished_frames(target)
    if frames is not None:
        return _Outcome(target, frames)
    if source is None:
        return _Outcome()
    announced = probe(source).announced_frames
    return _Outcome(target, conversion.convert(source, target), announced_frames=announced)


def _check(path: Path | None, check: str) -> _Outcome:
    if path is None:
        return _Outcome()
    if check == "all":
        checked = check_clip(path.parent, Path(path.name))
        if checked.problem is not None:
            return _Outcome(problem=checked.problem)
        return _Outcome(path, checked.num_frames, announced_frames=checked.announced_frames)
    if path.is_dir():
        with open_clip(path) as frames:
            if check != "none":
                frames.read([0])
            return _Outcome(path, frames.num_frames)
    if check != "none":
        probe(path)
    return _Outcome(path)


def _note(report: PreparationReport, dataset: Dataset, catalog: Catalog, outcomes: dict[str, _Outcome]) -> None:
    """Add everything that needs attention to the report."""
    report.classes = list(catalog.labels)
    report.broken = {name: o.problem for name, o in outcomes.items() if o.problem is not None}
    report.truncated = {
        name: f"{o.num_frames} of {counted(o.announced_frames or 0, 'frame')}"
        for name, o in outcomes.items()
        if is_truncated(o.num_frames, o.announced_frames)
    }
    for split, clips in catalog.splits.items():
        missing = [c.name for c in clips if outcomes[c.name].path is None and outcomes[c.name].problem is None]
        if missing:
            report.missing[split] = missing
        if all(outcomes[clip.name].path is None for clip in clips):
            report.warnings.append(f"{split} is empty: none of its {counted(len(clips), 'clip')} can be used")
    if dataset.num_classes not in (None, len(report.classes)):
        report.warnings.append(f"{counted(len(report.classes), 'class')}; the complete set has {dataset.num_classes}")


def _first(outcomes: dict[str, _Outcome]) -> str:
    """The problem of the first clip."""
    name, outcome = next(iter(outcomes.items()))
    return f"the first one: {outcome.problem}" if outcome.problem else f"the first one, {name}, was not found"


def _write(
    report: PreparationReport, catalog: Catalog, outcomes: dict[str, _Outcome], names: ListNames, force: bool
) -> None:
    output = Path(report.output)
    suffix = ".csv" if catalog.multi_label else names.suffix
    root = next(o.path.parent for o in outcomes.values() if o.path) if names.beside_clips else output
    splits = dict(catalog.splits)
    if catalog.chosen is not None:
        splits = {name: splits[f"{name}_{catalog.chosen}"] for name in ("train", "val")} | splits
    with replacing(output, force) as fresh:
        write_labels(fresh / names.labels, catalog.labels)
        for split, clips in splits.items():
            records = [
                VideoRecord(path, clip.labels, outcomes[clip.name].num_frames, line)
                for line, clip in enumerate(clips, 1)
                if (path := outcomes[clip.name].path) is not None
            ]
            write_list(fresh / f"{split}{suffix}", records, root)
            report.lists[f"{split}{suffix}"] = len(records)
        write_json(fresh / REPORT, asdict(report))
