"""`trishift inspect`: identify weight files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.commands.shared.arguments import add_import_options, import_options
from trishift.commands.shared.outputs import add_json, print_json
from trishift.commands.shared.parser import make_parser
from trishift.errors import TrishiftError
from trishift.io.terminal import printable
from trishift.io.wording import plain
from trishift.zoo.sources import WeightSource

if TYPE_CHECKING:
    from trishift.export.description import Description

UNREADABLE, HOSTILE, UNRECOGNIZED = 1, 3, 4  # exit status, which the worst file decides
_WORST_LAST = (0, UNRECOGNIZED, UNREADABLE, HOSTILE)
EXAMPLES = """\
  trishift inspect TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth
  trishift inspect --names runs/gestures-tsm/last.safetensors
  trishift inspect https://example.com/weights.pth      (status 3: would run code, 4: not recognized)
  trishift inspect --json best.safetensors | python -m json.tool
"""


def main(arguments: list[str]) -> None:
    """Parse and print."""
    parser = make_parser("inspect", "Identify weight files: format, family, model, and missing options.", EXAMPLES)
    parser.add_argument(
        "files",
        type=WeightSource,
        nargs="+",
        metavar="FILE",
        help="weight file, run folder, exported model, published name, or address",
    )
    parser.add_argument("--names", action="store_true", help="also list every tensor's name and its canonical name")
    add_json(parser, "everything as a line of JSON per file")
    add_import_options(parser)
    options = parser.parse_args(arguments)

    worst = max((_described(file, options) for file in options.files), key=_WORST_LAST.index)
    if worst:
        sys.exit(worst)


def _described(file: WeightSource, options: argparse.Namespace) -> int:
    """Describe one file, or print why that is impossible; returns its exit status."""
    from trishift.export.opening import is_exported

    try:
        if file.local is not None and is_exported(file.local):
            describe_export(file.local, as_json=options.json)
            return 0
        return _describe_weights(file, options)
    except TrishiftError as error:
        if len(options.files) == 1:
            raise
        print(printable(f"error: {error}"), file=sys.stderr)
        return UNREADABLE


def _describe_weights(file: WeightSource, options: argparse.Namespace) -> int:
    from trishift.checkpoints import inspect_weights
    from trishift.checkpoints.files import foreign_calls, sha256
    from trishift.zoo.fetching import published_name

    path, known = file.original()
    if calls := foreign_calls(path):
        facts = {"path": str(path), "sha256": sha256(path), "would_run": calls}
        if options.json:
            print_json(facts)
        else:
            print(f"{path}: not read; its pickle would run {', '.join(calls)}")
        return HOSTILE
    inspection = inspect_weights(path, **{**known, **import_options(options)})
    name = published_name(inspection.sha256)
    if options.json:
        print_json({**inspection.as_json(), "published": name, "would_run": []})
    else:
        print(inspection)
        if name is not None:
            print(f"  published as {name}")
        if options.names and inspection.report:
            print(inspection.report.name_table())
    return UNRECOGNIZED if inspection.report is None else 0


def describe_export(path: Path, *, as_json: bool = False) -> None:
    """Print the description of an exported model, after checking its files.

    Raises:
        CheckpointError: the export is damaged.
    """
    from trishift.export.description import check_files, encode, read_description

    description = read_description(path)
    check_files(path, description)
    if as_json:
        print_json({"path": str(path), **json.loads(encode(description))})
    else:
        print("\n  ".join(_export_lines(path, description)))


def _export_lines(path: Path, description: Description) -> Iterator[str]:
    from trishift.checkpoints.inspection import label_line

    yield f"{path}: {description}"
    yield from (
        f"{name}: {entry['bytes']:,} bytes, sha256 {entry['sha256']}" for name, entry in description.files.items()
    )
    for kind, ports in (("input", description.program.inputs), ("output", description.program.outputs)):
        yield from (f"{kind} {port.name}: {' x '.join(map(str, port.shape))} {port.dtype}" for port in ports)
    yield from label_line(description.checkpoint.labels)
    yield from (f"{key}: {plain(value)}" for key, value in description.measured.items())
