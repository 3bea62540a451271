"""`trishift check`: whether all ways of running a model agree on a clip, and where they part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trishift.commands.shared.arguments import (
    add_checkpoint,
    add_framework,
    add_import_options,
    add_tolerance,
    import_options,
)
from trishift.commands.shared.inputs import add_template, check_template
from trishift.commands.shared.outputs import add_json, notes_aside, print_json, status
from trishift.commands.shared.parser import make_parser
from trishift.errors import DataError

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = """\
  trishift check clip.mp4 --checkpoint runs/gestures-tsm
  trishift check clip.mp4 --checkpoint best.safetensors --against best.onnx best.paddle
  trishift check clip.mp4 --checkpoint best.safetensors --only infer opencv --frames mine.npz
"""


def main(arguments: list[str]) -> None:
    """Parse, compare and print; the exit status is 1 if numbers part."""
    from trishift.checking.ways import WAYS, check

    parser = make_parser("check", "Compare all ways of running a model on one clip; status 1 if they part.", EXAMPLES)
    parser.add_argument("clip", type=Path, metavar="CLIP", help="video or frame folder")
    add_checkpoint(parser, "weights of any family")
    add_framework(parser)
    text = "exported models to compare with the weights"
    parser.add_argument("--against", type=Path, nargs="+", default=[], metavar="EXPORT", help=text)
    parser.add_argument("--only", nargs="+", choices=WAYS, help="ways to compare; default: all")
    text = (
        "your own pixels, the array `frames` of a file by np.savez: (F, H, W, 3) uint8 RGB as decoded, resized or "
        "cropped, or the network's input (F, C, H, W) float32"
    )
    parser.add_argument("--frames", type=Path, metavar="FILE.npz", help=text)
    add_tolerance(parser)
    add_template(parser)
    add_json(parser)
    add_import_options(parser)
    options = parser.parse_intermixed_args(arguments)
    check_template(options.template, [options.clip])
    with notes_aside(options):
        agreement = check(
            options.clip,
            options.checkpoint,
            framework=options.framework,
            against=options.against,
            frames=None if options.frames is None else _own_frames(options.frames),
            only=options.only,
            tolerance=options.tolerance,
            template=options.template,
            say=status,
            **import_options(options),
        )
    if options.json:
        print_json(agreement.summary())
    else:
        print(agreement)
    if not agreement.agrees:
        raise SystemExit(1)


def _own_frames(path: Path) -> np.ndarray:
    from trishift.io.npz import read_npz

    try:
        return read_npz(path, ["frames"])[0]
    except ValueError as error:
        raise DataError(
            f"{path}: has no readable array `frames` ({error}); write it by np.savez(path, frames=...)"
        ) from None
