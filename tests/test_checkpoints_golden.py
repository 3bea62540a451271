"""Published models in their original files: what the importer makes of them is what their own code computed."""

from __future__ import annotations

import numpy as np
import originals
import pytest
from golden_records import SPECS

from trishift.api import Model
from trishift.checkpoints import import_weights
from trishift.spec import HeadSpec, ModelSpec

FRAMEWORKS = ("pytorch",)

# What the names of a family do not tell; everything else has to be found out.
OPTIONS = {
    "tsn_bninception_8f": {"num_segments": 8, "shift": "none"},
    "paddlevideo_tsm_resnet50_8f": {"num_segments": 8, "shift": "blockres"},
    "tsm_mobilenetv2_online": {"num_segments": 6},
    "trn_single_bninception_3f": {},
    "trn_multiscale_bninception_8f_all": {"relations": "all"},
    "mindspore_trn_bninception_8f": {"relations": "first"},
}
MINDSPORE_TRN = ModelSpec("bn_inception", 27, head=HeadSpec("multiscale_relation", relations="first"))


def options(name: str) -> dict:
    return OPTIONS.get(name, {"num_segments": 8})


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", originals.records())
def test_a_published_file_gives_its_logits(name, framework, tmp_path):
    entry = originals.record(name)
    checkpoint, report = import_weights(originals.write_record(entry, tmp_path), **options(name))
    assert checkpoint.spec == (MINDSPORE_TRN if name.startswith("mindspore") else SPECS[name])
    assert report.complete
    counters = sum(key.endswith("num_batches_tracked") for key, _ in entry["keys"])
    assert len(report.matched) + len(report.renamed) + counters == len(entry["keys"])

    draw = np.random.default_rng(entry["input_seed"]).standard_normal(entry["input_shape"]).astype(np.float32)
    clips = draw.reshape(-1, checkpoint.spec.num_segments, 3, *draw.shape[-2:])
    logits = np.array(entry["logits"], np.float32)
    if entry.get("online"):  # one row a frame there; over a clip they are averaged
        logits = logits.mean(axis=0, keepdims=True)
    assert np.abs(Model(checkpoint, framework)(clips) - logits).max() <= 1e-4 * np.abs(logits).max()
