"""Models learn frame order: TSM and TRN distinguish a gesture from its reverse, TSN cannot.

A smaller quickstart: the gesture recipes on fewer clips with fewer, smaller frames.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.paths import ROOT

from trishift.data.gestures import make_gestures
from trishift.recipe import load_recipe
from trishift.training.run import train

CONFIGS = ROOT / "configs" / "gestures"
SMALL = ["model.num_segments=4", "input.resize=32", "input.crop=32"]
SHORT = ["train.epochs=5", "train.evaluate_every=100"]
TWO_OF_A_PAIR = 0.56  # except "no gesture", classes are pairs of reversed clips: (8 / 2 + 1) / 9


@pytest.fixture(scope="module")
def gestures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gestures")
    make_gestures(folder, train=900, val=180, size=32, workers=2)
    return folder


def accuracy(model: str, gestures: Path, output: Path) -> float:
    recipe = load_recipe(CONFIGS / f"{model}.yaml", [f"data.root={gestures}", *SMALL, *SHORT])
    evaluation = train(recipe, "pytorch", output)
    assert evaluation is not None
    return evaluation.metrics.top1


def test_tsn_cannot_tell_reversed_gestures_apart(gestures: Path, tmp_path: Path) -> None:
    assert 0.25 < accuracy("tsn", gestures, tmp_path) < TWO_OF_A_PAIR + 0.04


@pytest.mark.parametrize("model", ["tsm", "trn"])
def test_tsm_and_trn_learn_frame_order(model: str, gestures: Path, tmp_path: Path) -> None:
    assert accuracy(model, gestures, tmp_path) > 0.65  # measured with three seeds: 0.77 to 0.82 and 0.84 to 0.87
