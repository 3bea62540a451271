"""Loads golden records from original files in several frameworks, as a process of tests/checkpoints/test_golden.py.

    python -m tests.support.golden_worker FOLDER mindspore paddle pytorch

writes FOLDER/RECORD.json for every record: the detected model, the completeness of the import and, per framework, the
largest difference from the published logits, relative to the largest logit. Each file is written and imported once, and
computed in PyTorch; the others compute one record of each network. MindSpore must be the first framework in a process.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from testing import golden_records, originals

from trishift.backends import MODULES, open_session
from trishift.backends.fast_forms import FormName
from trishift.checkpoints import Checkpoint, import_weights
from trishift.model.relations import prediction_relations
from trishift.model.serialization import to_json

# Options that cannot be inferred from the file; everything else must be detected.
OPTIONS: dict[str, dict[str, Any]] = {
    "tsn_bninception_8f": {"num_segments": 8, "shift": "none"},
    "paddlevideo_tsm_resnet50_8f": {"num_segments": 8, "shift": "blockres"},
    "tsm_mobilenetv2_online": {"num_segments": 6},
    "trn_single_bninception_3f": {},
    "pptsmv2_lcnet": {},
    "pptsm_resnet50_vd_8f": {"shift": "blockres"},
    "trn_multiscale_bninception_8f_all": {"relations": "all"},
    "trn_multiscale_inceptionv3_8f_all": {"relations": "all"},
    "mindspore_trn_bninception_8f": {"relations": "first"},
}

IN_PYTORCH = (  # its network is that of another record, or its only difference has a parity case
    "embedded_tsm_mobilenetv2_8f",
    "mmaction2_tsm_resnet50_8f",
    "trn_multiscale_bninception_8f_all",
    "tsm_resnet50_8f",
    "tsn_bninception_8f",
    "tsn_resnet50_8f",
)
FUSED = ("tsm_mobilenetv2_8f", "mindspore_trn_bninception_8f")  # in every framework; making the form takes time


def computes(framework: str, name: str) -> bool:
    """Whether a framework computes the logits of a record."""
    return framework == "pytorch" or name not in IN_PYTORCH


def options(name: str) -> dict[str, Any]:
    """The options of `trishift.load` for a record."""
    return OPTIONS.get(name, {"num_segments": 8})


def examine(name: str, frameworks: Sequence[str], folder: Path) -> dict[str, Any]:
    """Import a record, run it in every framework and compare the logits."""
    entry = originals.record(name)
    path = originals.write_record(entry, folder)
    checkpoint, report = import_weights(path, **options(name))
    path.unlink()
    unused = re.compile(rf"num_batches_tracked$|{golden_records.NO_INFLUENCE.get(name, '$^')}")
    used = sum(not unused.search(key) for key, _ in entry["keys"])
    return {
        "spec": to_json(checkpoint.spec),
        "complete": report.complete,
        "used": len(report.names) == used,
        "differences": {
            framework: difference(checkpoint, framework, entry, fused=framework == "pytorch" or name in FUSED)
            for framework in frameworks
            if computes(framework, name)
        },
    }


def difference(checkpoint: Checkpoint, framework: str, entry: dict[str, Any], fused: bool) -> float:
    """Largest difference from the published logits, relative to the largest logit; fused as in `trishift.load`.

    PyTorch gets all clips of a record. The others get its first one: the parity tests compare their batches with
    PyTorch's.
    """
    assert checkpoint.spec is not None
    form: FormName = "fused" if fused else "native"
    session = open_session(framework, checkpoint.spec, weights=checkpoint.tensors, form=form, strict=True)
    clips, expected = golden_records.clips(entry, checkpoint.spec), golden_records.logits(entry)
    if framework != "pytorch":
        clips, expected = clips[:1], expected[:1]
    found = session.predict(clips, prediction_relations(checkpoint.spec))
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def main(folder: Path, *frameworks: str) -> None:
    """Examine all records."""
    for framework in frameworks:
        importlib.import_module(MODULES[framework])
    for name in originals.records():
        (folder / f"{name}.json").write_text(json.dumps(examine(name, frameworks, folder)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
