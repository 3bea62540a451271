"""Loads golden records from original files in one framework, as a process of tests/checkpoints/test_golden.py.

    python -m tests.support.golden_worker paddle GOLDEN

writes GOLDEN/RECORD.json for every record: the detected model, the completeness of the import, and the largest
difference from the published logits, relative to the largest logit.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from testing import golden_records, originals

import trishift
from trishift.checkpoints import import_weights
from trishift.model.serialization import to_json

# Options that cannot be inferred from the file; everything else must be detected.
OPTIONS: dict[str, dict[str, Any]] = {
    "tsn_bninception_8f": {"num_segments": 8, "shift": "none"},
    "paddlevideo_tsm_resnet50_8f": {"num_segments": 8, "shift": "blockres"},
    "tsm_mobilenetv2_online": {"num_segments": 6},
    "trn_single_bninception_3f": {},
    "trn_multiscale_bninception_8f_all": {"relations": "all"},
    "mindspore_trn_bninception_8f": {"relations": "first"},
}


def options(name: str) -> dict[str, Any]:
    """The options of `trishift.load` for a record."""
    return OPTIONS.get(name, {"num_segments": 8})


def examine(name: str, framework: str, folder: Path) -> dict[str, Any]:
    """Import a record, run it in the framework and compare the logits."""
    entry = originals.record(name)
    path = originals.write_record(entry, folder)
    checkpoint, report = import_weights(path, **options(name))
    model = trishift.load(path, framework, **options(name))
    logits = golden_records.logits(entry)
    found = model(golden_records.clips(entry, checkpoint.spec))
    path.unlink()
    unused = re.compile(rf"num_batches_tracked$|{golden_records.NO_INFLUENCE.get(name, '$^')}")
    used = sum(not unused.search(key) for key, _ in entry["keys"])
    return {
        "spec": to_json(checkpoint.spec),
        "complete": report.complete,
        "used": len(report.names) == used,
        "difference": float(np.abs(found - logits).max() / np.abs(logits).max()),
    }


def main(framework: str, folder: Path) -> None:
    """Examine all records."""
    for name in originals.records():
        (folder / f"{name}.json").write_text(json.dumps(examine(name, framework, folder)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
