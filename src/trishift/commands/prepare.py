"""`trishift prepare`: lists and labels for public data sets or your own clips, and generated clips."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trishift.commands.shared.parser import make_parser
from trishift.io.wording import counted

if TYPE_CHECKING:
    from trishift.data.prepare import PreparationReport

EXAMPLES = """\
  trishift prepare jester downloads/jester --output data/jester --original-names
  trishift prepare somethingv2 downloads/something --output data/somethingv2 --frames
  trishift prepare kinetics downloads/k400 --output data/kinetics --reencode --workers 16
  trishift prepare ucf101 downloads/ucf101 --output data/ucf101 --split 2
  trishift prepare gestures data/gestures
  trishift prepare flow data/ucf101/train.txt data/ucf101/val.txt --output data/ucf101/flow
  trishift prepare shards data/gestures/train.txt data/gestures/val.txt --output data/shards
  trishift prepare gestures data/gestures-two-hands --hands 2
  trishift prepare folder my_clips --output data/custom
  trishift prepare folder my_clips --output data/custom --folds 5 --groups 'labels.csv:sequence'
  trishift prepare folder my_clips --output data/custom --groups '_(person[0-9]+)_'
  trishift prepare list my.csv --clips my_clips --output data/custom --label-column action
  trishift prepare intervals project.json --clips videos --output data/parts --background nothing --margin 0.5
"""


DATASETS = {  # name: (title, whether the clips are videos rather than frames)
    "kinetics": ("Kinetics 400, 600 or 700", True),
    "somethingv1": ("Something-Something V1", False),
    "somethingv2": ("Something-Something V2", True),
    "jester": ("Jester", False),
    "ucf101": ("UCF101", True),
    "hmdb51": ("HMDB51", True),
    "moments": ("Moments in Time and Multi-Moments in Time", True),
}


def main(arguments: list[str]) -> None:
    """Parse arguments, prepare, print the report."""
    parser = make_parser("prepare", "Make lists and labels from downloads or clips.", EXAMPLES)
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for name, (title, has_videos) in DATASETS.items():
        _add_dataset(kinds.add_parser(name, help=title), name, has_videos)
    _add_folder(kinds.add_parser("folder", help="your own clips, in one folder per class"))
    _add_list(kinds.add_parser("list", help="your own clips, in a table of paths and class names"))
    _add_intervals(kinds.add_parser("intervals", help="parts of long videos, annotated in label tools or data sets"))
    _add_gestures(kinds.add_parser("gestures", help="the built-in hand gestures"))
    _add_flow(kinds.add_parser("flow", help="optical flow of the clips in lists"))
    _add_shards(kinds.add_parser("shards", help="tar files of the videos in lists, for object stores"))
    _add_index(kinds.add_parser("index", help="the index beside tar files of other programs"))
    _add_unpack(kinds.add_parser("unpack", help="only unpack archives, including split ones"))
    options = parser.parse_args(arguments)
    run = {
        "gestures": _gestures,
        "folder": _folder,
        "list": _list,
        "intervals": _intervals,
        "flow": _flow,
        "shards": _shards,
        "index": _index,
        "unpack": _unpack,
    }
    run.get(options.kind, _dataset)(options)


def _add_dataset(parser: argparse.ArgumentParser, name: str, has_videos: bool) -> None:
    parser.add_argument("directory", type=Path, help="your downloads: archives, folders, annotations")
    parser.add_argument("--output", type=Path, required=True, help="folder for lists, labels and unpacked clips")
    parser.set_defaults(convert=None, short_side=None)
    if has_videos:
        _add_conversion(parser, "256 (Kinetics frames: 331)")
    if name in ("ucf101", "hmdb51"):
        parser.add_argument(
            "--split", type=int, choices=(1, 2, 3), default=1, help="split for train and val; default: 1"
        )
    if name == "jester":
        parser.add_argument(
            "--original-names",
            action="store_true",
            help="write categories.txt, train_videofolder.txt and val_videofolder.txt like MindSpore's TRN, "
            "for configs/jester",
        )
    parser.add_argument(
        "--check",
        choices=("none", "first", "all"),
        default="first",
        help="frames to decode per clip; default: first",
    )
    parser.add_argument(
        "--incomplete", action="store_true", help="continue without the files missing from damaged archives"
    )
    _add_force(parser)
    parser.add_argument("--workers", type=int, help="threads; default: one per core")


def _add_conversion(parser: argparse.ArgumentParser, default: str) -> None:
    choice = parser.add_mutually_exclusive_group()
    for option, kind, text in (
        ("--frames", "frames", "extract the videos' frames"),
        ("--reencode", "videos", "re-encode as small videos with dense key frames"),
    ):
        choice.add_argument(option, dest="convert", action="store_const", const=kind, help=text)
    text = f"short side of converted clips; default: {default}"
    parser.add_argument("--short-side", type=int, metavar="PIXELS", help=text)


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace different lists in the output folder")


def _dataset(options: argparse.Namespace) -> None:
    from trishift.data import prepare

    own = {name: getattr(options, name) for name in ("split", "original_names") if hasattr(options, name)}
    shared = prepare.Options(
        convert=options.convert,
        short_side=options.short_side,
        check=options.check,
        workers=options.workers,
        incomplete=options.incomplete,
        force=options.force,
    )
    report = prepare.PUBLIC_SETS[options.kind](options.directory, options.output, shared, **own)
    _print_lists(report)


def _add_unpack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="folder with zip, tar, tar.gz, rar or 20bn-...-?? files")
    parser.add_argument("--output", type=Path, required=True, help="output folder; an interrupted run continues there")
    parser.add_argument("--workers", type=int, help="threads; default: one per core")


def _unpack(options: argparse.Namespace) -> None:
    from trishift.data.prepare.unpacking import unpack_completely

    unpack_completely(options.directory, options.output, options.workers)
    print(f"unpacked: {options.directory} into {options.output}")


def _add_gestures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="output folder; created if missing")
    parser.add_argument(
        "--hands", type=int, choices=(1, 2), default=1, help="2: one gesture per hand, multi-label; default: 1"
    )
    parser.add_argument("--train", type=int, help="training clips, a multiple of 18 or 72; default: 1800")
    parser.add_argument("--val", type=int, help="validation clips, a multiple of 18 or 72; default: 450 or 432")
    parser.add_argument("--size", type=int, default=64, help="picture size in pixels; default: 64")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--workers", type=int, help="threads; default: one per core")
    parser.add_argument("--preview", type=Path, metavar="PNG", help="also write a preview of all gestures")
    parser.add_argument("--force", action="store_true", help="replace a set with other settings")


def _gestures(options: argparse.Namespace) -> None:
    from trishift.data.gestures import make_gestures, write_preview

    made = make_gestures(
        options.directory,
        train=options.train,
        val=options.val,
        size=options.size,
        seed=options.seed,
        hands=options.hands,
        workers=options.workers,
        force=options.force,
    )
    print(f"written: clips, {made.train_list.name}, {made.val_list.name} and labels.txt in {made.labels.parent}")
    if options.preview:
        write_preview(made, options.preview)
        print(f"written: {options.preview}")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory", type=Path, help="folder with one folder of clips per class, or per split and class"
    )
    _add_split(parser)
    _add_conversion(parser, "256")


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", type=Path, help="CSV file with a column of paths and one of class names")
    parser.add_argument("--clips", type=Path, help="folder that the paths are relative to; default: the table's")
    for option, content in (("--path-column", "paths"), ("--label-column", "class names")):
        parser.add_argument(option, metavar="COLUMN", help=f"header or number of the {content}; default: detected")
    _add_split(parser)
    _add_conversion(parser, "256")


def _add_intervals(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "annotations", type=Path, nargs="+", metavar="ANNOTATIONS", help="exported files, or folders of them"
    )
    parser.add_argument("--clips", type=Path, help="folder with the videos, at any depth; default: the annotations'")
    parser.add_argument("--format", help="format of the annotations, such as elan; default: detected")
    parser.add_argument(
        "--tier",
        dest="tiers",
        action="append",
        help="layer of labels (ELAN tier, VIA or CVAT attribute, Label Studio tag, EPIC-KITCHENS verb, noun, action); "
        "may be repeated; default: the usual or only one",
    )
    parser.add_argument(
        "--multi-label", action="store_true", help="several labels per clip where annotations overlap by half or more"
    )
    parser.add_argument("--background", metavar="NAME", help="add what lies between annotations as a class")
    parser.add_argument(
        "--frame-rate",
        type=float,
        help="frames per second of annotations in frames, and of frame folders; default: the video's",
    )
    for option, default, text in (
        ("--margin", "1", "seconds of background left out around annotations"),
        ("--min-length", "1", "shortest part of background in seconds"),
        ("--max-length", "the median annotation", "longest part of background in seconds; longer gaps are cut"),
    ):
        parser.add_argument(option, type=float, metavar="SECONDS", help=f"{text}; default: {default}")
    _add_split(parser)
    parser.set_defaults(convert=None, short_side=None)


def _add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, help="folder for lists, labels.txt and report.json")
    parser.add_argument(
        "--val-fraction", type=float, default=0.2, help="share of validation clips, 0 for no list; default: 0.2"
    )
    parser.add_argument(
        "--groups",
        help="clips that must stay together: FILE.csv:COLUMN (with a column path), or a regular expression "
        "whose first capture group in a clip's path is the group",
    )
    parser.add_argument("--folds", type=int, help="write lists for cross-validation: train_0.txt, val_0.txt, ...")
    parser.add_argument("--fold", type=int, default=0, help="fold that becomes train.txt and val.txt; default: 0")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split; default: 0")
    parser.add_argument(
        "--keep-similar", action="store_true", help="skip only identical files, not clips that look the same"
    )
    parser.add_argument(
        "--template", help="file name of a frame in frame folders; img_*.jpg reads files with gaps in order"
    )
    parser.add_argument("--workers", type=int, help="threads; default: one per core")
    _add_force(parser)


def _folder(options: argparse.Namespace) -> None:
    from trishift.data.prepare import prepare_folder

    _print_lists(prepare_folder(options.directory, options.output, **_split_options(options)))


def _list(options: argparse.Namespace) -> None:
    from trishift.data.prepare import prepare_list

    columns = {name: getattr(options, name) for name in ("clips", "path_column", "label_column")}
    _print_lists(prepare_list(options.table, options.output, **columns, **_split_options(options)))


def _intervals(options: argparse.Namespace) -> None:
    from trishift.data.prepare import IntervalOptions, prepare_intervals

    options.tiers = tuple(options.tiers or ())
    given = {field.name: getattr(options, field.name) for field in fields(IntervalOptions)}
    intervals = IntervalOptions(**{name: value for name, value in given.items() if value is not None})
    settings = {"clips": options.clips, "intervals": intervals, **_split_options(options)}
    _print_lists(prepare_intervals(options.annotations, options.output, **settings))


def _split_options(options: argparse.Namespace) -> dict[str, Any]:
    from trishift.data.prepare import SplitOptions

    given = {field.name: getattr(options, field.name) for field in fields(SplitOptions)}
    return {name: value for name, value in given.items() if value is not None}


def _print_lists(report: PreparationReport) -> None:
    print(report)
    if not any(Path(name).stem == "val" for name in report.lists):  # ready splits always have one
        print("warning: no validation list was requested; training needs one (data.val_list)")
    print(f"written: {', '.join([*report.lists, report.labels])} and report.json in {report.output}")


def _add_flow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lists", type=Path, nargs="+", metavar="LIST", help="list of clips, such as train.txt")
    parser.add_argument("--output", type=Path, required=True, help="output folder for flow and lists")
    parser.add_argument(
        "--clips", type=Path, help="folder that the lists' paths are relative to; default: each list's own"
    )
    parser.add_argument("--labels", type=Path, help="label file, for lists with class names")
    parser.add_argument(
        "--method", choices=("dis", "tvl1"), default="dis", help="tvl1 needs opencv-contrib; default: dis"
    )
    parser.add_argument(
        "--short-side", type=int, default=256, metavar="PIXELS", help="short side of the frames; default: 256"
    )
    parser.add_argument(
        "--template",
        default="flow_{}_{:05d}.jpg",
        help="file names: {} is x or y; without it, red is x and green is y; default: flow_{}_{:05d}.jpg",
    )
    parser.add_argument("--workers", type=int, help="threads; default: one per core")
    _add_force(parser)


def _flow(options: argparse.Namespace) -> None:
    from trishift.data.lists import read_labels
    from trishift.data.prepare.flow import FlowOptions, prepare_flow

    settings = FlowOptions(options.method, options.short_side, options.template, options.workers, options.force)
    names = read_labels(options.labels) if options.labels else None
    report = prepare_flow(options.lists, options.output, clips=options.clips, class_names=names, options=settings)
    print(report)
    print(f"written: {', '.join(report.lists)} and report.json in {options.output}")


def _add_shards(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lists", type=Path, nargs="+", metavar="LIST", help="list of videos, such as train.txt")
    parser.add_argument("--output", type=Path, required=True, help="output folder for shards, indices and lists")
    parser.add_argument(
        "--clips", type=Path, help="folder that the lists' paths are relative to; default: each list's own"
    )
    parser.add_argument("--labels", type=Path, help="label file, which is copied; needed for lists with class names")
    parser.add_argument(
        "--shard-size", type=float, default=500, metavar="MB", help="videos of a shard in megabytes; default: 500"
    )
    _add_force(parser)


def _shards(options: argparse.Namespace) -> None:
    from trishift.data.prepare.shards import prepare_shards

    written = prepare_shards(
        options.lists,
        options.output,
        clips=options.clips,
        labels=options.labels,
        shard_size=int(options.shard_size * 1e6),
        force=options.force,
    )
    for name, (clips, shards) in written.items():
        print(f"{name}: {counted(clips, 'clip')} in {counted(shards, 'shard')}")
    print(f"written: {options.output}; train with data.root={options.output}")


def _add_index(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shards", type=Path, nargs="+", metavar="TAR", help="tar file; its index is written beside it")


def _index(options: argparse.Namespace) -> None:
    from trishift.io.storage.shards import SUFFIX, write_index

    for shard in options.shards:
        print(f"written: {shard}{SUFFIX}, {counted(write_index(shard), 'member')}")
