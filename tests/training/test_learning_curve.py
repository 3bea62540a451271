"""The learning curve: a known power law is found, more clips are valued, and near-duplicates are seen."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import command
from tests.support.installed import MISSING

from trishift.data.lists import VideoRecord, read_list
from trishift.data.prepare.folds import Folds
from trishift.errors import DataError
from trishift.training.learning_curve import SHARES, PowerLaw, fit_power_law, learning_curve, near_duplicates
from trishift.training.trained_curve import clips_of_share


def made(clips: int = 120, groups: int = 20, classes: int = 3, noise: float = 2.5) -> tuple[np.ndarray, Folds]:
    """Noisy features of clips whose class is one of them."""
    rng = np.random.default_rng(0)
    targets = np.arange(clips) % classes
    features = np.eye(max(classes, 2), 12)[targets] * 3 + noise * rng.standard_normal((clips, 12))
    names = [f"g{place * groups // clips}" for place in range(clips)]
    records = [VideoRecord(Path(f"v{i}.mp4"), (int(t),), 8, i + 1, names[i]) for i, t in enumerate(targets)]
    part = np.array([int(name[1:]) % 4 for name in names])
    labels = ("a", "b", "c")[:classes]
    return features.astype(np.float32), Folds("made", tuple(records), labels, np.arange(4)[:, None] == part)


@pytest.mark.parametrize("law", [PowerLaw(0.1, 2.0, 0.5), PowerLaw(0.0, 1.0, 0.35), PowerLaw(0.2, 0.0, 0.5)])
def test_finds_a_known_power_law(law: PowerLaw) -> None:
    sizes = np.array([12.0, 30, 60, 120])
    found = fit_power_law(sizes, law(sizes))
    np.testing.assert_allclose(found(np.array([12, 320])), law(np.array([12, 320])), atol=0.004)


def test_values_more_clips() -> None:
    features, folds = made()
    curve = learning_curve(features, folds)
    np.testing.assert_allclose(curve.sizes, [9, 22.5, 45, 90], atol=4)
    means = curve.values.mean(axis=1)
    assert curve.values.shape == (len(SHARES), 120) and means[-1] > means[0] + 0.05
    added = curve.worth(200)
    assert 0 < added.low <= added.mean <= added.high < 0.4
    assert curve.worth(2000).mean > added.mean
    report = curve.report(200)
    assert "200 more clips, beyond 120, are worth +" in report and "no clip looks like" in report
    json.dumps(curve.summary(200))


def test_near_duplicates_and_their_effect() -> None:
    features, folds = made()
    twins = [frozenset({Path("v0.mp4"), Path("v7.mp4")})]  # of groups 0 and 1, validated in different folds
    curve = learning_curve(features, folds, twins)
    assert curve.leaked.sum() == 2 and curve.leaked[[0, 7]].all()
    text = curve.duplicates()
    assert text.startswith("2 validated clips look like training clips") and "v0.mp4 and v7.mp4" in text
    assert curve.summary(200)["without_near_duplicates"] == pytest.approx(curve.values[-1][~curve.leaked].mean())
    same_fold = [frozenset({Path("v0.mp4"), Path("v24.mp4")})]  # groups 0 and 4
    assert not learning_curve(features, folds, same_fold).leaked.any()


def test_finds_near_duplicates_of_other_groups(gestures: Path) -> None:
    clips = sorted((gestures / "val").glob("*.mp4"))[:4]
    groups = ("x", "x", "y", "y")
    records = [
        VideoRecord(clip, (0,), None, line, group) for line, (clip, group) in enumerate(zip(clips, groups, strict=True))
    ]
    folds = Folds("clips", tuple(records), ("a",), np.ones((1, 4), bool))
    assert near_duplicates(folds) == []
    copy = gestures / "val" / "copy_of_the_first.mp4"
    shutil.copy(clips[0], copy)
    try:
        twin = VideoRecord(copy, (0,), None, 5, "z")
        assert near_duplicates(Folds("clips", (*records, twin), ("a",), np.ones((1, 5), bool))) == [{clips[0], copy}]
    finally:
        copy.unlink()


def test_claims_nothing_without_grounds() -> None:
    features, folds = made(classes=1)
    with pytest.raises(DataError, match="only one class"):
        learning_curve(features, folds)
    features, folds = made()
    one = [VideoRecord(r.path, r.labels, r.num_frames, r.line, "g") for r in folds.records]
    alone = learning_curve(features, Folds("made", tuple(one), folds.labels, folds.validated))
    assert "name --groups" in alone.report(200)


@pytest.mark.skipif("pytorch" in MISSING, reason="pytorch is not installed")
def test_command(gestures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trishift.checkpoints import Checkpoint
    from trishift.checkpoints.canonical import save
    from trishift.model.initialization import initial_tensors
    from trishift.model.spec import InputSpec, ModelSpec

    spec = ModelSpec("resnet10", 2, 2, width=4)
    save(tmp_path / "w.safetensors", Checkpoint(initial_tensors(spec, 0), spec, InputSpec(resize=32, crop=32)))
    output = tmp_path / "out"
    assert command("curve", gestures, "--from", tmp_path / "w.safetensors", "--folds", 3, "--output", output) == 0
    assert "200 more clips, beyond 54, are worth" in capsys.readouterr().out
    assert len(json.loads((output / "curve.json").read_text())["sizes"]) == len(SHARES)
    assert (output / "curve.png").stat().st_size > 10_000


def test_shares_are_whole_groups_and_nested() -> None:
    _, folds = made()
    shares = [clips_of_share(folds, share, 0) for share in SHARES]
    for smaller, larger in pairwise(shares):
        assert (larger | ~smaller).all()
    assert (shares[-1] == ~folds.validated).all()
    groups = np.array(folds.groups)
    for fold, chosen in enumerate(shares[1]):
        assert not (chosen & folds.validated[fold]).any()
        assert set(groups[chosen]).isdisjoint(groups[~chosen])


@pytest.mark.skipif("pytorch" in MISSING, reason="pytorch is not installed")
def test_network_is_trained_on_every_share(gestures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trishift.checkpoints import Checkpoint
    from trishift.checkpoints.canonical import save
    from trishift.model.initialization import initial_tensors
    from trishift.model.spec import InputSpec, ModelSpec

    spec = ModelSpec("resnet10", 2, 2, width=4)
    save(tmp_path / "w.safetensors", Checkpoint(initial_tensors(spec, 0), spec, InputSpec(resize=32, crop=32)))
    output, small = tmp_path / "out", ("train.epochs=1", "train.batch_size=6", "data.augmentation.flip=none")
    words = ("curve", gestures, "--from", tmp_path / "w.safetensors", "--folds", 2, "--output", output, "--train")
    assert command(*words, *small, "--json") == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["learner"] == "training" and found["sizes"] == pytest.approx([7, 14, 27], abs=1)
    assert "note: 10% of the clips are left out: 3 clips do not fill a batch of 6" in printed.err
    assert "6 runs of 1 epoch, about" in printed.err
    for share, size in zip((25, 50, 100), found["sizes"], strict=True):
        lists = [read_list(output / f"share-{share}/lists/train_{fold}.csv") for fold in range(2)]
        assert np.mean([len(list(clips)) for clips in lists]) == size
    reached = [
        json.loads(line)["top1"]
        for fold in range(2)
        for line in (output / f"share-50/fold-{fold}-seed-0/metrics.jsonl").read_text().splitlines()
        if json.loads(line)["kind"] == "evaluation"
    ]
    assert found["results"][1]["mean"] == pytest.approx(np.mean(reached))
    assert command(*words, *small) == 0
    assert "epoch 1/1: loss" not in capsys.readouterr().out  # finished runs are not repeated
    assert command(*words, *small, "train.lr=0.5") == 1
    assert "holds another fine-tuning" in capsys.readouterr().err
    assert command(*words, *small, "train.batch_size=20") == 1
    assert "too few shares of the clips fill a batch of 20; lower train.batch_size" in capsys.readouterr().err
