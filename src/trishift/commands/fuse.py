"""`trishift fuse`: metrics of the weighted mean of several models' scores."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from trishift.commands.shared.outputs import add_json, check_file, print_json, status
from trishift.commands.shared.parser import make_parser
from trishift.io.wording import counted

EXAMPLES = """\
  trishift fuse rgb.json flow.json:1.5
  trishift fuse tsm_8f.json tsm_16f.json --output both.json
  trishift fuse msn_8f/ msn_16f/              # folders of MSN's pickles, one file per view
  trishift fuse both.json --output both.pkl   # MSN's format
"""


def main(arguments: list[str]) -> None:
    """Parse, fuse, print and write."""
    parser = make_parser("fuse", "Fuse score files, which `trishift eval --output` writes.", EXAMPLES)
    parser.add_argument(
        "scores",
        nargs="+",
        metavar="FILE[:WEIGHT]",
        help="result.json or .scores.npz of an evaluation, .pkl of MSN, or a folder of .pkl; default weight: 1",
    )
    parser.add_argument(
        "--average",
        choices=("probabilities", "logits"),
        default="probabilities",
        help="average probabilities or logits; default: probabilities",
    )
    parser.add_argument(
        "--output", type=Path, help="result.json (scores and confusion matrix are written beside it) or .pkl"
    )
    add_json(parser)
    options = parser.parse_args(arguments)

    from trishift.evaluation.fusion import evaluation_of, fuse
    from trishift.evaluation.scores import PICKLES, read_scores, write_pickle
    from trishift.reporting.evaluation import result_of, write_evaluation

    if options.output:
        check_file(options.output, [".json", *sorted(PICKLES)])
    paths, weights = zip(*(split_weight(text) for text in options.scores), strict=True)
    parts = [read_scores(path) for path in paths]
    fused = fuse(parts, weights, options.average)
    each = {str(part.source): evaluation_of(part) for part in parts} if len(parts) > 1 else {}
    if options.json:
        print_json({**result_of(fused), "parts": {source: asdict(part.metrics) for source, part in each.items()}})
    else:
        for source, part in each.items():
            print(f"{source}: {part.figures}")
        print(f"{'fused: ' * bool(each)}{fused.figures}  ({counted(len(fused.names), 'video')}; {fused.protocol})")
    if options.output and options.output.suffix in PICKLES:
        write_pickle(fused, options.output)
        status(f"written: {options.output}")
    elif options.output:
        status(f"written: {write_evaluation(fused, options.output)}")


def split_weight(text: str) -> tuple[Path, float]:
    """Split `FILE:WEIGHT` or `FILE`; a colon not followed by a number is part of the file name."""
    path, _, weight = text.rpartition(":")
    try:
        return (Path(path), float(weight)) if path else (Path(text), 1.0)
    except ValueError:
        return Path(text), 1.0
