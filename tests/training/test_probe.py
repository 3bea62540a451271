"""The linear probe, its place as the start of a run, and what is said about results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tests.support.tiny import write_recipe

from trishift.checkpoints.canonical import load
from trishift.errors import DataError, RecipeError
from trishift.evaluation.intervals import gain, interval, majority_metrics, video_values
from trishift.evaluation.metrics import softmax
from trishift.model.spec import HeadSpec, ModelSpec
from trishift.recipe import Recipe, TrainSpec, load_recipe, recipe_from_dict
from trishift.training.head_start import stable_factor
from trishift.training.probe import STRENGTHS, fit_probe
from trishift.training.run import train
from trishift.training.sinks import read_metrics


def draw(clips: int, features: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features far from zero, of classes that overlap."""
    rng = np.random.default_rng(seed)
    targets = np.arange(clips) % classes
    centers = 3 * rng.standard_normal((classes, features)) / np.sqrt(features)
    return (centers[targets] + rng.standard_normal((clips, features)) + 5).astype(np.float32), targets


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("features", [8, 60])
def test_probe_is_the_regression(classes: int, features: int) -> None:
    x, y = draw(40, features, classes)
    groups = [str(number) for number in range(len(x))]
    probe = fit_probe(x, y, classes, groups, strength=0.01)
    scaler = StandardScaler().fit(x)
    expected = LogisticRegression(C=0.01, max_iter=1000).fit(scaler.transform(x), y)
    wanted = expected.decision_function(scaler.transform(x))
    found = probe.logits(x)
    if classes == 2:
        found = found[:, 1] - found[:, 0]
    np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_several_labels_are_one_regression_each() -> None:
    x, y = draw(60, 6, 3)
    targets = np.eye(4, dtype=np.float32)[y]  # no clip has the last class
    targets[::5] = 0
    probe = fit_probe(x, targets, 4, [str(number) for number in range(60)], strength=1.0)
    assert ((probe.logits(x)[:, :3] > 0) == (targets[:, :3] > 0)).mean() > 0.8
    assert (probe.logits(x)[:, 3] < -4).all() and not probe.weight[3].any()


def test_class_without_clips_is_never_predicted() -> None:
    x, y = draw(40, 6, 2)
    probe = fit_probe(x, 2 * y, 4, [str(number) for number in range(40)])
    assert set(probe.logits(x).argmax(axis=1)) == {0, 2}
    assert probe.strength in STRENGTHS


def test_strength_is_chosen_over_groups() -> None:
    """Copies of a clip in several folds would make the weakest penalty look best."""
    x, _ = draw(12, 40, 2)
    y = np.random.default_rng(1).integers(0, 2, 12)
    x, y = np.repeat(x, 4, axis=0), np.repeat(y, 4)
    apart = fit_probe(x, y, 2, [str(number) for number in range(48)]).strength
    together = fit_probe(x, y, 2, [str(number // 4) for number in range(48)]).strength
    assert together < apart


def test_probe_needs_two_classes() -> None:
    with pytest.raises(DataError, match="of one class"):
        fit_probe(np.ones((3, 2), np.float32), np.zeros(3, int), 2, ["a", "b", "c"])


def test_run_starts_from_the_probe(gestures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_recipe(tmp_path / "tiny.yaml", gestures, train={"head_start": "probe", "head_lr_mult": "stable"})
    train(load_recipe(config, ["train.lr=1e-9"]), "pytorch", tmp_path / "run")
    printed = capsys.readouterr().out
    probe, after = (read_metrics(tmp_path / "run", kind)[-1] for kind in ("probe", "evaluation"))
    assert probe["top1"] == pytest.approx(after["top1"]) and "epoch" not in probe
    best = load(tmp_path / "run" / "best.safetensors")
    assert best.meta["metrics"]["epoch"] == 0 and best.meta["recipe"]["train"]["head_lr_mult"] == 5
    for text in (
        "starts from the probe of 36 clips",
        "95% interval",
        "most frequent class",
        "the probe, before",
        "next:",
    ):
        assert text in printed
    resumed = load_recipe(config, ["train.lr=1e-9", "train.epochs=2"])
    train(resumed, "pytorch", tmp_path / "run", resume=tmp_path / "run")
    assert len(read_metrics(tmp_path / "run", "probe")) == 1


def test_training_without_validation(gestures: Path, tmp_path: Path) -> None:
    config = write_recipe(tmp_path / "tiny.yaml", gestures, train={"evaluate_every": 0})
    assert train(load_recipe(config, ["data.val_list=null"]), "pytorch", tmp_path / "run") is None
    assert {"last.safetensors"} == {path.name for path in (tmp_path / "run").glob("*.safetensors")}


@pytest.mark.parametrize(
    ("changes", "features", "factor"),
    [
        ({"lr": 0.01}, np.full((3, 16), 2.0), 1.56),  # 1 / (0.01 * 64)
        ({"lr": 1e-5}, np.full((3, 16), 2.0), 5.0),
        ({"lr": 0.01, "optimizer": {"name": "adamw"}}, np.full((3, 16), -2.0), 3.12),  # 1 / (0.01 * 32)
    ],
)
def test_stable_step(changes: dict[str, object], features: np.ndarray, factor: float) -> None:
    recipe = recipe_from_dict({"train": changes, "model": {"dropout": 0}})
    assert stable_factor(recipe, features) == pytest.approx(factor)


def final_loss(x: np.ndarray, y: np.ndarray, rate: float) -> float:
    """Loss of a two-class head after SGD on one clip at a time."""
    weight = np.zeros((2, x.shape[1]))
    for step in range(300):
        clip, target = x[step % len(x)], y[step % len(x)]
        weight -= rate * np.outer(softmax(weight @ clip) - np.eye(2)[target], clip)
    return float(-np.log(softmax(x @ weight.T)[np.arange(len(y)), y]).mean())


def test_stable_step_does_not_overshoot() -> None:
    x, y = draw(24, 60, 2)
    x = x + 5  # like pooled features: large, and mostly common to all clips
    recipe = Recipe(model=ModelSpec(dropout=0), train=TrainSpec(lr=0.01))
    rate = recipe.train.lr * stable_factor(recipe, x)
    assert final_loss(x, y, rate) < np.log(2) < final_loss(x, y, 20 * rate)


@pytest.mark.parametrize(
    ("train_options", "message"),
    [
        ({"head_lr_mult": "stable", "multipliers": False}, "needs train.multipliers"),
        ({"head_start": "probe"}, "makes a linear head"),
        ({"head_start": "probe", "initial_weights": "w.pth", "new_head": "auto"}, "set train.new_head=true"),
    ],
)
def test_rejects_heads_that_cannot_be(train_options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe(model=ModelSpec(head=HeadSpec("relation")), train=TrainSpec(**train_options))


def test_intervals() -> None:
    hits = np.array([1.0] * 8 + [0.0] * 2)
    wilson = interval(hits)
    assert (wilson.mean, wilson.low, wilson.high) == pytest.approx(
        (0.8, 0.4902, 0.9433), abs=1e-3
    )  # a published example
    grouped = interval(hits, ["a"] * 8 + ["b"] * 2)
    assert (grouped.low, grouped.high) == (0, 1) and "2 groups" in grouped.method
    lone = interval(hits, ["a"] * 10), gain(hits, 0 * hits, ["a"] * 10)
    assert [(found.low, found.high) for found in lone] == [(0, 1), (-1, 1)]  # one group proves nothing
    certain = interval(np.ones(4))
    assert 0.5 < certain.low < certain.high == 1


def test_baselines() -> None:
    assert majority_metrics(np.array([3, 9, 9]), np.array([2, 2, 1, 0])).top1 == 0.5
    scores = np.array([[2.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    assert video_values(scores, np.array([0, 0, 1])).tolist() == [1, 0, 0]  # a tie is a miss
    assert video_values(scores[:2], np.array([[0, 1], [0, 1]])).tolist() == [0.5, 1]
