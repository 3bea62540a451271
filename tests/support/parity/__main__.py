"""Measure all cases in all frameworks with the code of the gates, and write docs/parity.md.

    python -m tests.support.parity [--output docs/parity.md] [--folder runs/parity]

Measurements in the folder are reused: empty it after a change. Exits with status 1 if a case fails or too many cases
need a redraw.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.parity.cases import cases
from tests.support.parity.comparison import SENSITIVE, TOLERANCES
from tests.support.parity.gate import CONTESTED, DRAWS, IN_SUITE, REDRAWN_CASES, Outcome, outcomes, redrawn_cases

HEADER = f"""\
# Parity of the frameworks

The tables list the largest relative difference from PyTorch, on the CPU in float32: evaluation logits, loss and
gradients of one training pass, batch-norm statistics after it, and losses, weights and momentum after three SGD steps
with momentum, weight decay, clipping and partial or full batch norm. `python -m tests.support.parity` writes this page
with the code of the gates in the test suite (`tests/support/parity`).

Method:

* **Same input.** Weights, clips, targets and random draws are functions of names and seeds. The difference of a tensor
  is max |a - b| / max |b|, and the largest one per quantity is listed. If max |b| is below a thousandth of the
  quantity's largest value, that thousandth replaces it. A bias is measured relative to its layer's weight if that is
  larger.
* **Conditioned weights.** The weights are not those of a trained network: norms keep three quarters of the channels
  well above zero and a quarter well below (`testing/weights.py`). In a deep network with ReLUs near zero, rounding
  alone switches some of them, and gradients of equal networks differ by several percent.
* **Ties in max pools.** If the two largest values of a window are equal but for rounding, the gradient may go to
  different pixels, and one such window changes gradients by up to several percent. Column *gap* lists how close
  PyTorch's max pools came to a tie in training: the smallest difference between winner and runner-up, relative to the
  largest value. A case beyond a tolerance gets other clips only if its gap is below {CONTESTED:.0e}, up to {DRAWS}
  draws in all (column *draws*), and every quantity must pass with the same clips. The gate fails if more than
  {REDRAWN_CASES} case per framework needs a redraw. The Inception networks pool the largest maps: there, seven of eight
  channels are closed, and the clips were chosen by PyTorch's gap alone.
* **Tolerances** are in the last row. Momentum amplifies rounding where a softmax is nearly a maximum or offsets are
  near whole pixels; its tolerance is
{{sensitive}}.
* **Schedule.** Each run of the test suite measures and gates the cases marked with ✓. The other cases are measured
  when this page is written, with the same gate.
"""


def header() -> str:
    """Text of the page before the tables."""
    limits = sorted(set(SENSITIVE.values()))
    names = {limit: [case for (case, _), value in SENSITIVE.items() if value == limit] for limit in limits}
    return HEADER.format(sensitive=" and\n".join(f"  {limit:.0e} for {', '.join(names[limit])}" for limit in limits))


def table(framework: str, found: Sequence[Outcome]) -> str:
    """Markdown table with a row per case and a column per quantity."""
    columns = ["case", "suite", "draws", "gap", *TOLERANCES]
    lines = [f"\n## {framework}\n", row(columns), "|---|:---:|---:|---:|" + "---:|" * len(TOLERANCES)]
    for outcome in found:
        mark = "✓" if outcome.case in IN_SUITE[framework] else ""
        differences = [
            f"{outcome.rows[quantity].difference:.0e}" if quantity in outcome.rows else "" for quantity in TOLERANCES
        ]
        gap = f"{outcome.gap:.0e}" if math.isfinite(outcome.gap) else ""
        lines.append(row([outcome.case, mark, str(outcome.draws), gap, *differences]))
    lines.append(row(["*tolerance*", "", "", "", *(f"{limit:.0e}" for limit in TOLERANCES.values())]))
    return "\n".join(lines) + "\n"


def row(cells: Sequence[str]) -> str:
    """Row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    """Write the page; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/parity.md"))
    parser.add_argument("--folder", type=Path, default=Path("runs/parity"), help="default: runs/parity")
    options = parser.parse_args()
    measured = {framework: outcomes(framework, options.folder, cases()) for framework in IN_SUITE}
    tables = [table(framework, found) for framework, found in measured.items()]
    options.output.write_text(header() + "".join(tables), encoding="utf-8")
    failed = [failure for found in measured.values() for outcome in found for failure in outcome.failures]
    redrawn = {framework: redrawn_cases(found) for framework, found in measured.items()}
    print("".join(tables), f"failed: {failed}", f"redrawn: {redrawn}", sep="\n")
    return int(bool(failed) or any(len(names) > REDRAWN_CASES for names in redrawn.values()))


if __name__ == "__main__":
    sys.exit(main())
