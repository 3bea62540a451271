"""`trishift timeline-eval`: compare timelines with the truth."""

from __future__ import annotations

import json
from pathlib import Path

from trishift.commands.shared.outputs import add_json, check_file, print_json, status
from trishift.commands.shared.parser import make_parser

EXAMPLES = """\
  trishift timeline-eval day1.json --truth day1.eaf --tier actions
  trishift timeline-eval timelines/ --truth data/parts/val.txt --background nothing --output result.json
  trishift timeline-eval results.json --truth activity_net.v1-3.min.json --split val
"""


def main(arguments: list[str]) -> None:
    """Parse, compare, print and write."""
    parser = make_parser("timeline-eval", "Compare timelines with the truth.", EXAMPLES)
    parser.add_argument(
        "predictions",
        nargs="+",
        type=Path,
        metavar="PREDICTIONS",
        help=".json or .csv files of `trishift timeline`, results in ActivityNet's form, or folders of them",
    )
    parser.add_argument(
        "--truth",
        type=Path,
        required=True,
        metavar="LIST|ANNOTATIONS",
        help="list of parts of videos, or annotations as `trishift prepare intervals` takes them",
    )
    parser.add_argument("--labels", type=Path, help="label file of the list; default: labels.txt beside it")
    parser.add_argument("--clips", type=Path, help="folder of the videos; default: that of the truth")
    parser.add_argument("--tier", dest="tiers", action="append", default=[], help="layer of labels in annotations")
    parser.add_argument(
        "--frame-rate", type=float, help="frames per second of annotations in frames; default: the video's"
    )
    parser.add_argument("--split", choices=("train", "val", "test"), help="only these videos of the annotations")
    parser.add_argument(
        "--background",
        action="append",
        default=[],
        metavar="NAME",
        help="class that stands for nothing; may be repeated",
    )
    parser.add_argument("--partial", action="store_true", help="leave out videos without predictions")
    parser.add_argument("--output", type=Path, help="result.json, also with the average precision per class")
    add_json(parser)
    options = parser.parse_args(arguments)

    from trishift.evaluation.timeline_files import matched, read_predictions, read_truth
    from trishift.evaluation.timelines import timeline_metrics
    from trishift.io.atomic import write_text

    if options.output:
        check_file(options.output, [".json"])
    predicted = read_predictions(options.predictions)
    settings = {name: getattr(options, name) for name in ("clips", "labels", "tiers", "frame_rate", "split")}
    truth = read_truth(options.truth, **settings)
    found = matched(predicted, truth, partial=options.partial)
    notes = truth.notes + predicted.notes
    for note in notes:
        status(f"note: {note}")
    metrics = timeline_metrics(found, truth.videos, options.background)
    result = {**metrics.summary(), "notes": notes}
    if options.json:
        print_json(result)
    else:
        print(metrics)
    if options.output:
        write_text(options.output, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        status(f"written: {options.output}")
