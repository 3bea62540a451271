"""`trishift compare`: runs side by side on the same clips, with paired tests."""

from __future__ import annotations

from pathlib import Path

from trishift.commands.shared.outputs import add_json, check_file, print_json, status
from trishift.commands.shared.parser import make_parser
from trishift.errors import DataError
from trishift.io.terminal import printable

EXAMPLES = """\
  trishift compare runs/gestures-tsn runs/gestures-tsm
  trishift compare runs/tsn-seed* runs/tsm-seed* --output compare.html      (seeds of one recipe are one row)
  trishift compare fp32.json int8.json --json
"""


def main(arguments: list[str]) -> None:
    """Parse, compare, print and write."""
    parser = make_parser("compare", "Compare runs or evaluations with the first one, on the same clips.", EXAMPLES)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder, or result.json of an evaluation")
    parser.add_argument("--output", type=Path, help="page, .html")
    add_json(parser)
    options = parser.parse_args(arguments)
    if options.output:
        check_file(options.output, [".html"])
    if len(options.runs) < 2:
        raise DataError(f"compare: {options.runs[0]} is a single RUN; name at least two")

    from trishift.io.atomic import write_text
    from trishift.io.text_table import aligned
    from trishift.reporting.report.comparison import compare_runs, page_text, summary, table
    from trishift.reporting.report.subject import read_subject

    comparison = compare_runs([read_subject(run) for run in options.runs])
    if options.json:
        print_json(summary(comparison))
    else:
        rows = [[printable(cell) for cell in row] for row in table(comparison)]
        print("\n".join(aligned(rows, "<")))
        print(f"{comparison.clips} clips; differences in points, from the first row, with 95% intervals")
    if comparison.note:
        status(f"note: {comparison.note}")
    if options.output:
        write_text(options.output, page_text(comparison))
        status(f"written: {options.output}")
