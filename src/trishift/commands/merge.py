"""`trishift merge`: join the results of `--shard` into the result of the whole list."""

from __future__ import annotations

from pathlib import Path

from trishift.commands.shared.outputs import check_file, status
from trishift.commands.shared.parser import make_parser

EXAMPLES = """\
  trishift eval --checkpoint best.safetensors --shard 1/2 --output 1.json     (on one machine)
  trishift eval --checkpoint best.safetensors --shard 2/2 --output 2.json     (on another one)
  trishift merge 1.json 2.json --output result.json
  trishift merge predictions-1.parquet predictions-2.parquet --output predictions.parquet
"""


def main(arguments: list[str]) -> None:
    """Parse, merge, print and write."""
    parser = make_parser("merge", "Join the results of the shards of `eval` or `infer`.", EXAMPLES)
    parser.add_argument(
        "parts",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="files of all shards; predictions: in the order of the shards",
    )
    parser.add_argument("--output", type=Path, required=True, help="the result of the whole list, in the same format")
    options = parser.parse_args(arguments)

    from trishift.evaluation.merging import is_evaluation, merge_evaluations, merge_predictions
    from trishift.evaluation.prediction_files import check_format
    from trishift.reporting.evaluation import write_evaluation

    check_file(options.output, [options.parts[0].suffix])
    check_format(options.output)
    if is_evaluation(options.parts[0]):
        evaluation, context = merge_evaluations(options.parts)
        print(evaluation)
        status(f"written: {write_evaluation(evaluation, options.output, **context)}")
        return
    merge_predictions(options.parts, options.output)
    status(f"written: {options.output}")
