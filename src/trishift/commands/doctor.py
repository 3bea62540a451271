"""`trishift doctor`: what is installed here, what is missing, and how to get it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from itertools import groupby

from trishift.commands.shared.outputs import add_json, print_json, status
from trishift.commands.shared.parser import make_parser

EXAMPLES = """\
  trishift doctor
  trishift doctor --json | python -m json.tool        (for a bug report)
"""


def main(arguments: list[str]) -> None:
    """Parse, examine and print; the exit status is 1 if there is a problem."""
    parser = make_parser(
        "doctor", "Examine frameworks, devices, decoders and folders; status 1 if one fails.", EXAMPLES
    )
    add_json(parser)
    options = parser.parse_args(arguments)

    from trishift.reporting.environment import examine
    from trishift.version import __version__

    status("importing every framework once, each in its own process")
    checks = examine()
    if options.json:
        print_json({"trishift": __version__, "checks": [asdict(check) for check in checks]})
    else:
        print(f"Trishift {__version__}")
        for group, entries in groupby(checks, key=lambda check: check.group):
            print(f"\n{group}", *(f"  {entry}" for entry in entries), sep="\n")
    if any(check.state == "problem" for check in checks):
        sys.exit(1)
