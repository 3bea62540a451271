"""Mutual learning: the student and its peer guide each other, and a run with both resumes exactly."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.support import isolated
from tests.support.sessions import CLIPS, DROPOUT, TARGETS
from tests.support.tiny import write_recipe

from trishift.backends import open_session
from trishift.backends.contract import Draws, Execution, MicroBatch
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.checkpoints.training_state import load_state
from trishift.errors import CheckpointError, RecipeError
from trishift.evaluation.metrics import softmax
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec
from trishift.recipe import Recipe, TrainSpec, load_recipe
from trishift.recipe.options import DistillationSpec, PeerSpec
from trishift.training.distillation import Teachers
from trishift.training.draws import draw_step
from trishift.training.mutual import Peer
from trishift.training.parameter_groups import optimization_plan
from trishift.training.run import train

MODEL = ModelSpec("resnet10", 4, num_segments=4, width=4)


def recipe(**options: object) -> Recipe:
    return Recipe(model=MODEL, train=TrainSpec(distillation=DistillationSpec(mutual=True), **options))  # type: ignore[arg-type]


def test_both_students_learn_from_each_other() -> None:
    student = open_session("pytorch", MODEL, Execution())
    peer = Peer(recipe(), student)
    peer.restore(TrainSpec(), 0, {})
    batch = MicroBatch(CLIPS, TARGETS, Draws(DROPOUT))
    guide = Teachers(recipe(), student, "abcd", peer.session).probabilities(CLIPS)
    np.testing.assert_allclose(guide, softmax(peer.session.predict(CLIPS) / 2), rtol=1e-5)
    twin = open_session("pytorch", MODEL, Execution(), seed=1)
    twin.prepare_training(optimization_plan(twin.parameters(), recipe().train, "rgb"))
    draws = draw_step(MODEL, len(CLIPS), seed=1, iteration=3)
    twin.train_step([MicroBatch(CLIPS, TARGETS, draws, softmax(student.predict(CLIPS) / np.float32(2)))], 0.1)
    assert peer.learn([batch], 0.1, iteration=3)[0].guide is None
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


def test_joint_students_follow_the_gradient_of_paddlevideos_loss() -> None:
    """CE of both, and half of both divergences of what they say in the same training pass, with nothing detached."""
    peer_spec = PeerSpec("resnet14_vd", negative_slope=0.01, dropout=0.0, head_lr_mult=1.0)
    distillation = DistillationSpec(mutual=True, joint=True, peer=peer_spec, temperature=1.0)
    train_spec = TrainSpec(distillation=distillation, multipliers=False, momentum=0.0, weight_decay=0.0, clip_norm=None)
    joint = Recipe(model=replace(MODEL, dropout=0.0), train=train_spec)
    student = open_session("pytorch", joint.model, Execution())
    peer = Peer(joint, student)
    peer.restore(joint.train, 0, {})
    student.prepare_training(optimization_plan(student.parameters(), joint.train, "rgb"))
    networks = [copy.deepcopy(session.network).train() for session in (student, peer.session)]
    (batch,) = peer.learn([MicroBatch(CLIPS, TARGETS)], 0.1, iteration=0)
    student.train_step([batch], 0.1)

    outputs = [network(torch.from_numpy(CLIPS)) for network in networks]
    p, q = (F.softmax(logits, 1) for logits in outputs)
    divergences = (p * (p / q).log() + q * (q / p).log()).sum(1).mean() / 2
    (sum(F.cross_entropy(logits, torch.from_numpy(TARGETS)) for logits in outputs) + divergences).backward()
    for network, session in zip(networks, (student, peer.session), strict=True):
        torch.optim.SGD(network.parameters(), lr=0.1).step()
        found = session.network.state_dict()
        for name, expected in network.state_dict().items():
            if expected.is_floating_point():
                torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6)


def test_peer_of_another_network_starts_from_its_own_weights(gestures: Path, tmp_path: Path) -> None:
    spec = ModelSpec("resnet14_vd", 9, num_segments=4, width=8, shift=ShiftSpec(4), negative_slope=0.01)
    weights = open_session("pytorch", spec, Execution(), seed=9).dump_tensors()
    save(tmp_path / "peer.safetensors", Checkpoint(weights, spec, InputSpec()))
    peer = {"backbone": "resnet14_vd", "negative_slope": 0.01, "initial_weights": str(tmp_path / "peer.safetensors")}
    distillation = {"mutual": True, "joint": True, "temperature": 1, "peer": peer}
    options = {"epochs": 1, "lr": 1e-30, "weight_decay": 0, "distillation": distillation}
    config = write_recipe(tmp_path / "tiny.yaml", gestures, train=options)
    train(load_recipe(config), "pytorch", tmp_path / "run")
    checkpoint, state = load_state(tmp_path / "run/last.safetensors")
    assert checkpoint.spec is not None and checkpoint.spec.backbone == "resnet10"
    name = "backbone.layer1.0.conv1.weight"
    np.testing.assert_array_equal(state.peer[f"weights.{name}"], weights[name])


@pytest.mark.parametrize(
    ("distillation", "message"),
    [
        ({"joint": True}, "joint: is for two students without other teachers"),
        ({"mutual": True, "joint": True, "teachers": ["a.pth"]}, "joint: is for two students without other teachers"),
        ({"peer": {"backbone": "resnet18"}}, "there is no second student; set train.distillation.mutual=true"),
        ({"mutual": True, "peer": {"initial_weights": "a.pth"}}, "remove it, or set train.distillation.peer.backbone"),
        ({"mutual": True, "peer": {"temporal_attention": True}}, "train.distillation.peer: .*temporal_attention"),
    ],
)
def test_refusals(distillation: dict, message: str, tmp_path: Path) -> None:
    config = write_recipe(tmp_path / "tiny.yaml", tmp_path, train={"distillation": distillation})
    with pytest.raises(RecipeError, match=message):
        load_recipe(config)


def test_both_students_take_the_same_pixels() -> None:
    distillation = DistillationSpec(mutual=True, peer=PeerSpec("bn_inception"))
    with pytest.raises(RecipeError, match="bn_inception expects other pixels than resnet18; choose another backbone"):
        Recipe(model=ModelSpec("resnet18", 4), train=TrainSpec(distillation=distillation))


@pytest.fixture(scope="module")
def joint_steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    file = tmp_path_factory.mktemp("mutual") / "pytorch.npz"
    isolated.experiment("mutual_steps", "pytorch", file)
    return dict(np.load(file))


@pytest.mark.parametrize("framework", ["mindspore", "paddle"])
def test_joint_steps_are_the_same_in_all_frameworks(
    framework: str, joint_steps: dict[str, np.ndarray], tmp_path: Path
) -> None:
    isolated.experiment("mutual_steps", framework, tmp_path / "found.npz")
    found = np.load(tmp_path / "found.npz")
    assert found.files == list(joint_steps)
    for name, array in joint_steps.items():
        np.testing.assert_allclose(
            found[name], array, rtol=0, atol=1e-4 * np.abs(array).max(initial=1e-3), err_msg=name
        )
