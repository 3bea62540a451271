"""Reports: their numbers are those of the run's files, and no name, size or state of a run breaks them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from trishift.errors import DataError
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.films import Film
from trishift.evaluation.scores import write_scores
from trishift.recipe import Recipe, RecipeFile, save_recipe
from trishift.recipe.reading import recipe_from_dict
from trishift.reporting.evaluation import write_result
from trishift.reporting.pages.rendering import percent
from trishift.reporting.report.page import write_report
from trishift.reporting.report.subject import read_subject
from trishift.training.run_record import Origin

HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[31m$\\frac{.mp4"


def evaluation(classes: int = 4, videos: int = 60, seed: int = 0, **changes: object) -> Evaluation:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, videos)
    scores = (rng.standard_normal((videos, classes)) + 1.5 * np.eye(classes)[targets]).astype(np.float32)
    values = {
        "protocol": "1 uniform clip x 1 crop, training size",
        "labels": tuple(f"class {number}" for number in range(classes)),
        "names": [f"val/{number:03d}.mp4" for number in range(videos)],
        "scores": scores,
        "targets": targets,
        "misses": [],
        "groups": [str(number // 2) for number in range(videos)],
    }
    return Evaluation(**{**values, **changes})  # type: ignore[arg-type]


def write_run(folder: Path, found: Evaluation, epochs: int = 2, recipe: Recipe | None = None) -> Path:
    """A run folder as training leaves it, without weights."""
    folder.mkdir()
    save_recipe(recipe or recipe_from_dict({"name": "tiny", "train": {"epochs": 2}}), folder / "recipe.yaml")
    records = [
        {"kind": "train", "iteration": i, "loss": 2.0 / (i + 1), "lr": 0.1, "epoch": i // 3 + 1}
        for i in range(3 * epochs)
    ]
    for epoch in range(1, epochs + 1):
        place = {"kind": "evaluation", "iteration": 3 * epoch - 1, "epoch": epoch}
        records.append({**place, **found.summary(), **found.reliability})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    write_scores(found, folder / "best.scores.npz")
    return folder


def text_of(page: Path) -> str:
    """The visible text of a page."""
    body = page.read_text("utf-8").partition("<body>")[2]
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)))


def test_numbers_are_those_of_the_run(tmp_path: Path) -> None:
    found = evaluation()
    page = write_report(read_subject(write_run(tmp_path / "run", found)))
    text = text_of(page)
    record = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert f"Top-1 {100 * record['top1']:.1f} %" in text and "bootstrap over 30 groups" in text
    assert f"Mean class accuracy {100 * record['mean_class_accuracy']:.1f} %" in text
    assert f"calibration error {100 * record['calibration_error']:.2f} %" in text
    predicted = found.scores.argmax(1)
    precision, recall, f1, support = precision_recall_fscore_support(found.targets, predicted, zero_division=np.nan)
    for number, label in enumerate(found.labels):
        row = re.search(rf"{label} (\d+) (\d+) ([\d.]+) % .*? ([\d.]+) % .*? ([\d.]+) %", text[text.index("Average") :])
        assert row
        counts = str(support[number]), str((predicted == number).sum())
        assert row.groups()[:3] == (*counts, f"{100 * f1[number]:.1f}")
        assert f"{100 * precision[number]:.1f} %" in text and f"{100 * recall[number]:.1f} %" in text
    matrix = confusion_matrix(found.targets, predicted)
    cells = re.findall(r'href="#pair-(\d+)-(\d+)"[^>]*>(\d+)</a>', page.read_text("utf-8"))
    assert {(int(t), int(p)): int(count) for t, p, count in cells} == {
        (t, p): int(matrix[t, p]) for t, p in zip(*matrix.nonzero(), strict=True)
    }
    assert {path.name for path in page.parent.glob("*.png")} == {"curves.png", "calibration.png", "confusion.png"}


@pytest.mark.parametrize("seed", range(12))
def test_numbers_are_those_of_scikit_learn(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes, videos = int(rng.integers(2, 9)), int(rng.integers(10, 90))
    found = evaluation(classes, videos, seed, groups=None, temperature=float(rng.choice([1.0, 0.5, 3.0])))
    write_result(found, tmp_path / "result.json")
    write_scores(found, tmp_path / "result.scores.npz")
    page = write_report(read_subject(tmp_path / "result.json"))
    text, truth, predicted = text_of(page), found.targets, found.scores.argmax(1)
    chances = softmax(found.scores.astype(np.float64) / found.temperature, axis=1)
    expected = {
        "Top-1": accuracy_score(truth, predicted),
        "Mean class accuracy": np.mean([np.mean(predicted[truth == c] == c) for c in np.unique(truth)]),
        **({"Top-5": top_k_accuracy_score(truth, chances, k=5, labels=range(classes))} if classes > 5 else {}),
    }
    for name, value in expected.items():
        assert f"{name} {100 * value:.1f} %" in text
    assert f"NLL {log_loss(truth, chances, labels=range(classes)):.3f}" in text
    every = precision_recall_fscore_support(truth, predicted, labels=range(classes), zero_division=np.nan)
    ranks = softmax(found.scores.astype(np.float64), axis=1)
    for number, (precision, recall, f1, support) in enumerate(zip(*every, strict=True)):
        average = average_precision_score(truth == number, ranks[:, number]) if support else np.nan
        (row,) = re.findall(
            rf'<tr><th scope="row" class="name">class {number}</th>(.*?)</tr>', page.read_text(), re.DOTALL
        )
        cells = re.findall(r'<td class="num(?: wide)?">([^<]*)', row)
        counts = [str(support), str((predicted == number).sum())]
        assert cells == [*counts, *(percent(value) for value in (f1, precision, recall, average))]


def test_nothing_is_fetched_and_no_name_becomes_markup(tmp_path: Path) -> None:
    labels = (HOSTILE, "b", "c", "d")
    names = [f"val/{number}{HOSTILE}" for number in range(60)]
    found = evaluation(labels=labels, names=names, misses=[(HOSTILE, f"{HOSTILE}: gone")])
    page = write_report(read_subject(write_run(tmp_path / "run", found))).read_text("utf-8")
    assert "<img src=x" not in page and "\x1b" not in page and "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "default-src 'none'" in page


def test_recipe_is_compared_with_that_of_the_command(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", evaluation(), recipe=recipe_from_dict({"name": "tiny", "train": {"lr": 0.5}}))
    assert "keys differ from the defaults" in text_of(write_report(read_subject(run)))
    part = {"recipe": "gestures/tsm", "changes": [["train.lr", "0.1", "0.5"]]}
    (run / "run.json").write_text(json.dumps({"parts": [part, {"recipe": "", "changes": []}]}))
    text = text_of(write_report(read_subject(run)))
    assert "1 key differs from gestures/tsm , with which the run was started" in text
    assert "Key Recipe This run train.lr 0.1 0.5" in text
    (run / "run.json").write_text(json.dumps({"parts": [{**part, "changes": []}]}))
    assert "No keys differ from gestures/tsm" in text_of(write_report(read_subject(run)))


def test_recipe_is_compared_with_its_base(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("base: gestures/tsm\ntrain: {lr: 0.5}\n")
    file = RecipeFile(mine)
    origin = Origin.of_recipe(["train"], str(mine), file, file.resolve(["train.epochs=3"]))
    assert origin.base == "gestures/tsm"
    assert [(key, after) for key, _, after in origin.changes] == [("train.epochs", "3"), ("train.lr", "0.5")]
    run = write_run(tmp_path / "run", evaluation())
    (run / "run.json").write_text(json.dumps({"parts": [origin._asdict()]}))
    text = text_of(write_report(read_subject(run)))
    assert f"2 keys differ from gestures/tsm , the base of {mine} , with which the run was started" in text
    assert "Key Base This run train.epochs" in text


def test_recipe_without_a_whole_base_is_compared_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("train: {batch_size: 3, accumulate: 2}\n")
    alone, whole = tmp_path / "alone.yaml", tmp_path / "whole.yaml"
    alone.write_text("train: {lr: 0.5}\n")
    whole.write_text("base: part.yaml\ntrain: {batch_size: 4}\n")
    for path in (alone, whole):
        file = RecipeFile(path)
        changed = Origin.of_recipe([], str(path), file, file.resolve(["train.epochs=3"]))
        assert changed.base == "" and [key for key, *_ in changed.changes] == ["train.epochs"]


def test_scores_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    found = evaluation()
    found.scores[3, 1] = np.nan
    with pytest.raises(
        DataError, match=r"best\.scores\.npz: has scores that are infinite or not numbers; check the weights"
    ):
        read_subject(write_run(tmp_path / "run", found))


@pytest.mark.parametrize(("classes", "videos"), [(1, 3), (2, 1), (10_000, 40)])
def test_any_number_of_classes(tmp_path: Path, classes: int, videos: int) -> None:
    found = evaluation(classes, videos, groups=None)
    page = write_report(read_subject(write_run(tmp_path / "run", found)))
    assert page.stat().st_size < 2e6
    assert ("9800 of 10000 classes are better" in text_of(page)) == (classes == 10_000)


def test_several_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((30, 4)) < 0.4).astype(np.float32)
    found = evaluation(videos=30, targets=truth, scores=rng.standard_normal((30, 4)).astype(np.float32) + 2 * truth)
    text = text_of(write_report(read_subject(write_run(tmp_path / "run", found))))
    assert f"mAP over clips {100 * found.metrics.sample_map:.1f} %" in text and "Confusion" not in text


def test_a_run_that_is_not_complete(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", evaluation(), epochs=1)
    assert "1 of 2 epochs evaluated so far" in text_of(write_report(read_subject(run)))
    (run / "best.scores.npz").unlink()
    assert "There are no scores of single clips yet" in text_of(write_report(read_subject(run)))
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").touch()
    assert "0 of 2 epochs" in text_of(write_report(read_subject(run)))


def test_the_best_weights_may_be_those_of_the_probe(tmp_path: Path) -> None:
    found = evaluation()
    run = write_run(tmp_path / "run", found)
    assert "after epoch 1" in text_of(write_report(read_subject(run)))
    probe = {"kind": "probe", "iteration": 0, **found.summary(), "top1": 1.0}
    metrics = run / "metrics.jsonl"
    metrics.write_text(json.dumps(probe) + "\n" + metrics.read_text())
    assert "the probe, before training" in text_of(write_report(read_subject(run)))


def test_pictures_beside_another_page_have_its_name(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    write_report(read_subject(write_run(tmp_path / "run", evaluation())), page=tmp_path / "pages/mine.html")
    suffixes = {path.name.removeprefix("mine.") for path in (tmp_path / "pages").iterdir()}
    assert suffixes == {"html", "curves.png", "calibration.png", "confusion.csv", "confusion.png"}
    assert all(path.name.startswith("mine.") for path in (tmp_path / "pages").iterdir())


def test_result_of_an_evaluation(tmp_path: Path) -> None:
    found = evaluation(temperature=2.0)
    write_result(found, tmp_path / "result.json", checkpoint="weights.safetensors", framework="paddle")
    write_scores(found, tmp_path / "result.scores.npz")
    page = write_report(read_subject(tmp_path / "result.json"))
    assert page.name == "result.report.html" and "without temperature" in text_of(page)
    assert (tmp_path / "result.calibration.png").is_file()


def test_films_show_the_score_of_each_frame(tmp_path: Path) -> None:
    asked: list[str] = []

    def read(names: list[str]) -> Mapping[str, Film]:
        asked.extend(names)
        return {name: Film(np.zeros((4, 32, 32, 3), np.uint8), np.zeros((4, 4), np.float32)) for name in names}

    found = evaluation()
    page = write_report(read_subject(write_run(tmp_path / "run", found)), read).read_text("utf-8")
    wrong = found.scores.argmax(1) != found.targets
    sure = np.where(wrong, found.scores.max(1) - np.log(np.exp(found.scores).sum(1)), -np.inf)
    assert asked[0] == found.names[sure.argmax()] and len(asked) == len(set(asked)) == 10
    assert "below each frame" in page
    assert (
        page.count("<img") == 10 * 4 and page.count(f'aria-label="{percent(0.25)}"') == 10 * 4 * 2
    )  # true and predicted class

    def fail(names: list[str]) -> Mapping[str, Film]:
        raise DataError("the disk is gone")

    text = text_of(write_report(read_subject(tmp_path / "run"), fail))
    assert "There are no film strips: the disk is gone." in text and "below each frame" not in text


@pytest.mark.parametrize("name", ["missing", "empty", "other.json"])
def test_refuses_what_is_no_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(DataError, match=r"run folder|is not the result"):
        read_subject(tmp_path / name)
