"""`trishift report`: a run or an evaluation at a glance, as one HTML page with pictures."""

from __future__ import annotations

from pathlib import Path

from trishift.backends import FRAMEWORKS
from trishift.commands.shared.outputs import check_file, status
from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.reports import write_report
from trishift.errors import OutputError
from trishift.io.regular import is_in_store

EXAMPLES = """\
  trishift report runs/gestures-tsm
  trishift report runs/*                                       (a page in each)
  trishift report result.json --output evaluation.html         (of trishift eval --output result.json)
"""


def main(arguments: list[str]) -> None:
    """Parse, write the pages and name them."""
    parser = make_parser("report", "Write a run or an evaluation as one HTML page with pictures.", EXAMPLES)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder, or result.json of an evaluation")
    parser.add_argument(
        "--output",
        type=Path,
        help="page of a single RUN; default: report.html in its folder or beside the result; needed for one in a store",
    )
    parser.add_argument(
        "--framework", choices=FRAMEWORKS, help="scores the frames of film strips; default: the run's, if installed"
    )
    parser.add_argument("--no-films", action="store_true", help="no film strips: neither clips nor weights are opened")
    options = parser.parse_args(arguments)
    if options.output:
        check_file(options.output, [".html"])
        if len(options.runs) > 1:
            raise OutputError(f"--output {options.output}: is for a single RUN; leave it out to get a page in each")
    elif stored := next(filter(is_in_store, options.runs), None):
        raise OutputError(f"{stored}: is in a store, and pages are written to this machine; name one with --output")
    for run in options.runs:
        page = write_report(run, options.framework, films=not options.no_films, page=options.output)
        status(f"written: {page} and pictures beside it")
