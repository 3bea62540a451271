"""Measures how far the frameworks lie apart and writes docs/parity.md.

    python -m tests.support.parity_page [--output docs/parity.md] [--folder runs/parity]

The cases and quantities are those of the parity gates in tests/support/parity.py. Their numbers are kept in the
folder, and what is there is not measured again: empty it after a change.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tests.support.parity import REFERENCE, TOLERANCES, Row, cases, rows

from trishift.backends import FRAMEWORKS

HEADER = """\
# Parity of the frameworks

The largest relative difference from PyTorch on the CPU, float32, with the same weights, clips and random draws:
evaluation logits, loss and gradients of one training pass, batch-norm statistics after it, and losses, weights and
momentum after three SGD steps with momentum, weight decay, clipping and partial or full batch norm.
`tests/support/parity.py`
defines the cases and how differences are taken; the gates in the test suite hold them below the tolerances in the
last row, but for the momentum of the Gaussian form and of MSN, which amplify rounding (`SENSITIVE` there). Made by
`python -m tests.support.parity_page`.
"""


def table(framework: str, measured: Sequence[Row]) -> str:
    """A Markdown table, one row a case, one column a quantity."""
    values = {(row.case, row.quantity): row.difference for row in measured}
    quantities = [quantity for quantity in TOLERANCES if any(row.quantity == quantity for row in measured)]
    lines = [f"\n## {framework}\n", "| case | " + " | ".join(quantities) + " |", "|---|" + "---:|" * len(quantities)]
    for case in cases():
        cells = [f"{values[case.name, q]:.0e}" if (case.name, q) in values else "" for q in quantities]
        lines.append(f"| {case.name} | " + " | ".join(cells) + " |")
    lines.append("| *tolerance* | " + " | ".join(f"{TOLERANCES[q]:.0e}" for q in quantities) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure both other frameworks and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/parity.md"))
    parser.add_argument("--folder", type=Path, default=Path("runs/parity"), help="default: runs/parity")
    options = parser.parse_args()
    tables = [table(name, rows(name, options.folder)) for name in FRAMEWORKS if name != REFERENCE]
    options.output.write_text(HEADER + "".join(tables), encoding="utf-8")
    print("".join(tables))


if __name__ == "__main__":
    main()
