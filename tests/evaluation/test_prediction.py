"""A prediction is its likeliest classes, and knows the others."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from trishift.evaluation.prediction import Prediction

NAMES = ("wave", "clap", "nod")
SCORES = np.array([0.2, 0.7, 0.1])


def test_a_prediction_is_the_sequence_of_its_likeliest_classes() -> None:
    prediction = Prediction("clip.mp4", NAMES, SCORES, top_k=2)
    assert prediction == [("clap", 0.7), ("wave", 0.2)] == list(prediction) == prediction[:2]
    assert (len(prediction), prediction[0], dict(prediction)["wave"]) == (2, ("clap", 0.7), 0.2)
    assert prediction != [("clap", 0.7)]
    assert len(prediction.top(3)) == 3
    with pytest.raises(IndexError):
        prediction[2]


def test_a_prediction_is_written_and_copied_like_its_list() -> None:
    prediction = Prediction("clip.mp4", NAMES, SCORES, top_k=2)
    assert json.loads(json.dumps({"clip.mp4": prediction})) == {"clip.mp4": [["clap", 0.7], ["wave", 0.2]]}
    for copied in (pickle.loads(pickle.dumps(prediction)), copy.deepcopy(prediction)):
        assert copied == prediction and copied.top(3) == prediction.top(3) and copied.name == "clip.mp4"
    assert replace(prediction, top_k=1) == [("clap", 0.7)]


def test_the_sequence_holds_every_predicted_class() -> None:
    prediction = Prediction("clip.mp4", NAMES, SCORES, np.array([False, True, True]), top_k=1)
    assert prediction == [("clap", 0.7), ("nod", 0.1)]
    assert prediction.predicted == ("clap", "nod")
