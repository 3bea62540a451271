"""Mutual learning: the student and its peer guide each other, and a run with both resumes exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.sessions import CLIPS, DROPOUT, TARGETS, make_plan
from tests.support.tiny import write_recipe

from trishift.backends import open_session
from trishift.backends.contract import Draws, Execution, MicroBatch
from trishift.checkpoints.training_state import load_state
from trishift.errors import CheckpointError
from trishift.evaluation.metrics import softmax
from trishift.model.losses import GuideSpec
from trishift.model.spec import ModelSpec
from trishift.recipe import Recipe, TrainSpec, load_recipe
from trishift.recipe.options import DistillationSpec
from trishift.training.distillation import Teachers
from trishift.training.mutual import Peer
from trishift.training.run import train

MODEL = ModelSpec("resnet10", 4, num_segments=4, width=4)


def recipe(**options: object) -> Recipe:
    return Recipe(model=MODEL, train=TrainSpec(distillation=DistillationSpec(mutual=True), **options))  # type: ignore[arg-type]


def test_both_students_learn_from_each_other() -> None:
    student = open_session("pytorch", MODEL, Execution())
    peer = Peer(recipe(), student)
    plan = make_plan(student, guide=GuideSpec(2.0, 0.5))
    peer.restore(plan, {})
    batch = MicroBatch(CLIPS, TARGETS, Draws(DROPOUT))
    guide = Teachers(recipe(), student, "abcd", peer.session).probabilities(CLIPS)
    np.testing.assert_allclose(guide, softmax(peer.session.predict(CLIPS) / 2), rtol=1e-5)
    twin = open_session("pytorch", MODEL, Execution(), seed=1)
    twin.prepare_training(plan)
    twin.train_step([MicroBatch(CLIPS, TARGETS, Draws(DROPOUT), softmax(student.predict(CLIPS) / np.float32(2)))], 0.1)
    peer.learn([batch], 0.1)
    expected = twin.dump_tensors()
    assert all(np.array_equal(array, expected[name]) for name, array in peer.session.dump_tensors().items())


def test_peer_of_pretrained_student_has_another_head() -> None:
    student = open_session("pytorch", MODEL, Execution(), seed=7)
    peer = Peer(recipe(initial_weights="any.pth"), student).session.dump_tensors()
    differing = {name for name, array in student.dump_tensors().items() if not np.array_equal(array, peer[name])}
    assert differing == {"head.fc.weight"}  # biases start at zero


def test_run_with_a_peer_resumes_exactly(gestures: Path, tmp_path: Path) -> None:
    options = {"epochs": 2, "distillation": {"mutual": True}, "freeze": {"stages": ["stem"], "until": 1}}
    config = write_recipe(tmp_path / "tiny.yaml", gestures, train=options)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(load_recipe(config), "pytorch", whole)
    train(load_recipe(config), "pytorch", parts, until=1)
    train(load_recipe(config), "pytorch", parts, resume=parts)
    assert (parts / "last.safetensors").read_bytes() == (whole / "last.safetensors").read_bytes()
    checkpoint, state = load_state(whole / "last.safetensors")
    weights = {name: array for name, array in state.peer.items() if name.startswith("weights.")}
    assert len(weights) == len(checkpoint.tensors) and state.peer["optimizer.momentum.head.fc.weight"].any()
    assert not np.array_equal(weights["weights.head.fc.weight"], checkpoint.tensors["head.fc.weight"])
    alone = load_recipe(config, ["train.distillation.mutual=false"])
    train(alone, "pytorch", tmp_path / "alone", until=1)
    with pytest.raises(CheckpointError, match=r"without a second student, .* set train\.distillation\.mutual=false"):
        train(load_recipe(config), "pytorch", tmp_path / "other", resume=tmp_path / "alone")
