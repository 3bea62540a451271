"""`trishift prepare`: make lists and labels out of clips, or the clips themselves."""

from __future__ import annotations

import argparse
from pathlib import Path

from trishift.commands.arguments import make_parser

EXAMPLES = """\
  trishift prepare gestures data/gestures
  trishift prepare folder my_clips --output data/custom
  trishift prepare folder my_clips --output data/custom --folds 5 --groups 'labels.csv:sequence'
  trishift prepare folder my_clips --output data/custom --groups '_(person[0-9]+)_'
"""


def main(arguments: list[str]) -> None:
    """Parse, prepare and print."""
    parser = make_parser("prepare", "Make lists and labels out of clips, or the clips themselves.", EXAMPLES)
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    _add_gestures(kinds.add_parser("gestures", help="the built-in hand gestures"))
    _add_folder(kinds.add_parser("folder", help="a folder that holds one folder of clips per class"))
    options = parser.parse_args(arguments)
    {"gestures": _gestures, "folder": _folder}[options.kind](options)


def _add_gestures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="where to; made if missing")
    parser.add_argument("--train", type=int, default=1800, help="training clips, a multiple of 18; default: 1800")
    parser.add_argument("--val", type=int, default=450, help="validation clips, a multiple of 18; default: 450")
    parser.add_argument("--size", type=int, default=64, help="side of the pictures in pixels; default: 64")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--workers", type=int, help="threads; default: one per core")
    parser.add_argument("--preview", type=Path, metavar="PNG", help="also write a picture of all gestures")


def _gestures(options: argparse.Namespace) -> None:
    from trishift.data.gestures import make_gestures, write_preview

    made = make_gestures(
        options.directory,
        train=options.train,
        val=options.val,
        size=options.size,
        seed=options.seed,
        workers=options.workers,
    )
    print(f"written: {options.train} training and {options.val} validation clips in {made.train_list.parent}")
    if options.preview:
        write_preview(made, options.preview)
        print(f"written: {options.preview}")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="folder with one folder of clips per class")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for labels.txt, train.txt, val.txt, report.json"
    )
    parser.add_argument("--val-fraction", type=float, default=0.2, help="share of validation clips; default: 0.2")
    parser.add_argument(
        "--groups",
        help="clips that must stay together: FILE.csv:COLUMN (with a column path), or a regular expression "
        "whose first parenthesis in a clip's path is its group",
    )
    parser.add_argument("--folds", type=int, help="write lists for cross-validation: train_0.txt, val_0.txt, ...")
    parser.add_argument("--fold", type=int, default=0, help="fold that becomes train.txt and val.txt; default: 0")
    parser.add_argument("--seed", type=int, default=0, help="of the split; default: 0")
    parser.add_argument("--workers", type=int, help="threads; default: one per core")
    parser.add_argument("--force", action="store_true", help="replace other lists in the output folder")


def _folder(options: argparse.Namespace) -> None:
    from trishift.data.prepare import prepare_folder

    report = prepare_folder(
        options.directory,
        options.output,
        val_fraction=options.val_fraction,
        groups=options.groups,
        folds=options.folds,
        fold=options.fold,
        seed=options.seed,
        workers=options.workers,
        force=options.force,
    )
    print(report)
    print(f"written: labels.txt, train.txt, val.txt and report.json in {options.output}")
