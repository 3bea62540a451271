"""`trishift explain`: where a network looks, and what each frame contributes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.commands.shared.arguments import (
    add_checkpoint,
    add_execution,
    add_framework,
    add_import_options,
    add_runtime,
)
from trishift.commands.shared.inputs import add_template, check_template, load_model
from trishift.commands.shared.outputs import check_file, status
from trishift.commands.shared.parser import make_parser
from trishift.errors import RecipeError
from trishift.io.terminal import printable
from trishift.io.wording import one_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trishift.reporting.explanations.content import ExplainedClip

EXAMPLES = """\
  trishift explain clip.mp4 --checkpoint runs/gestures-tsm
  trishift explain clip.mp4 --checkpoint runs/gestures-tsm --output clip.png clip.mp4.html film.mp4
  trishift explain clip.mp4 --checkpoint trn.safetensors --label 'Swiping Left' --output why.html
"""


def main(arguments: list[str]) -> None:
    """Parse, explain, print and write."""
    options = _parser().parse_intermixed_args(arguments)

    from trishift.reporting.explanations.content import explain_file
    from trishift.reporting.explanations.files import WRITERS

    for path in options.output:
        check_file(path, list(WRITERS))
    check_template(options.template, [options.clip])
    options.strict = False
    model = load_model(options, clips=1)
    label = None if options.label is None else class_number(options.label, model.labels)
    content = explain_file(
        *(model.session, model.input, model.labels, model.calibration, options.clip),
        label=label,
        template=options.template,
    )
    print("\n".join(lines(content)))
    for path in options.output:
        WRITERS[path.suffix](content, path)
        status(f"written: {path}")


def class_number(text: str, labels: Sequence[str]) -> int:
    """The class of a name or a number.

    Raises:
        RecipeError: there is no such class.
    """
    if text in labels:
        return list(labels).index(text)
    if text.isdecimal() and int(text) < len(labels):
        return int(text)
    raise RecipeError(f"--label {text!r}: no such class{one_of(text, labels)}")


def lines(content: ExplainedClip) -> list[str]:
    """The class, a table of the segments, and the strongest relation of each scale."""
    width = max(len(caption) for caption in content.captions)
    rows = [f"{printable(content.path)}: {content.title}", ""]
    rows.append(" " * width + "".join(f"  {name:>22}" for name in content.contributions))
    for caption, *values in zip(content.captions, *content.contributions.values(), strict=True):
        rows.append(f"{caption:{width}}" + "".join(f"  {value:+22.3f}" for value in values))
    for scale in content.explanation.relations:
        strongest = ", ".join(content.relation_text(relation) for relation in scale[:3])
        rows.append(f"relations of {len(scale[0].segments)} segments: {strongest}")
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("explain", "Show where a network looks, and what each frame contributes.", EXAMPLES)
    parser.add_argument("clip", type=Path, metavar="CLIP", help="video or frame folder")
    add_checkpoint(parser, "weights of any family")
    add_framework(parser)
    add_runtime(parser, layers=True)
    add_execution(parser)
    add_import_options(parser)
    parser.add_argument("--label", help="class to explain, by name or number; default: the most likely one")
    text = "film strip (.png), video (.mp4), page (.html) or numbers (.json); several are possible"
    parser.add_argument("--output", type=Path, nargs="+", default=[], metavar="FILE", help=text)
    add_template(parser)
    return parser
