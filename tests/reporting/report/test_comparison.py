"""Comparisons: the same clips, exact tests, and seeds as one row."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from trishift.commands.compare import main
from trishift.errors import DataError
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.paired import compare, p_value, shared_videos
from trishift.evaluation.scores import write_scores
from trishift.recipe import recipe_from_dict
from trishift.reporting.evaluation import write_result
from trishift.reporting.report.comparison import compare_runs
from trishift.reporting.report.subject import Subject

NAMES = [f"{number}.mp4" for number in range(40)]


def evaluation(right: np.ndarray, **changes: object) -> Evaluation:
    targets = np.arange(len(right)) % 3
    scores = np.eye(3, dtype=np.float32)[np.where(right, targets, (targets + 1) % 3)]
    return replace(Evaluation("p", ("a", "b", "c"), NAMES[: len(right)], scores, targets, []), **changes)


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (5, 5), (8, 1), (1, 8), (700, 650), (3, 0)])
def test_p_value_equals_the_binomial_test(better: int, worse: int) -> None:
    expected = binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert p_value(better, worse) == pytest.approx(expected)


def test_clips_are_matched_by_name() -> None:
    right = np.arange(40) % 2 == 0
    one, other = evaluation(right), evaluation(np.ones(40, bool))
    turned = replace(other, names=other.names[::-1], scores=other.scores[::-1], targets=other.targets[::-1])
    shorter = replace(turned, names=turned.names[:30], scores=turned.scores[:30], targets=turned.targets[:30])
    shared = shared_videos([one, shorter], ["one", "other"])
    assert shared.left_out == (10, 0) and shared.evaluations[1].names == NAMES[10:]
    found = compare([shared.evaluations[1]], [shared.evaluations[0]])
    assert (found.better, found.worse) == (15, 0) and found.gain.mean == 0.5


def test_refuses_other_classes_clips_and_labels() -> None:
    one = evaluation(np.ones(9, bool))
    for other, problem in (
        (replace(one, labels=("x", "y", "z")), "other classes"),
        (replace(one, names=[f"x{name}" for name in one.names]), "no clip in common"),
        (replace(one, targets=(one.targets + 1) % 3), r"0\.mp4 has another label"),
        (replace(one, targets=np.eye(3)[one.targets]), "several labels"),
    ):
        with pytest.raises(DataError, match=problem):
            shared_videos([one, other], ["one", "other"])
    third, fourth = (replace(one, names=[*one.names[place : place + 3], *"uvwxyz"]) for place in (0, 3))
    with pytest.raises(DataError, match=r"^far and one have no clip in common"):
        shared_videos([one, replace(one, names=[f"x{name}" for name in one.names])], ["one", "far"])
    with pytest.raises(DataError, match=r"^one, third, fourth: these runs have no clip in common"):
        shared_videos([one, third, fourth], ["one", "third", "fourth"])


def test_mcnemars_test_is_for_single_runs() -> None:
    one, other = evaluation(np.arange(40) % 2 == 0), evaluation(np.ones(40, bool))
    assert compare([other], [one]).p_value is not None
    assert compare([other], [one, other]).p_value is None and compare([one, other], [one]).p_value is None


def test_seeds_are_one_row_and_frameworks_are_not(tmp_path: Path) -> None:
    subjects = []
    for name, seed, framework in (("a", 1, "pytorch"), ("b", 2, "pytorch"), ("c", 1, "paddle")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"parts": [{"framework": framework}]}))
        recipe = recipe_from_dict({"train": {"seed": seed}})
        subjects.append(Subject(tmp_path / name, evaluation(np.ones(9, bool)), recipe=recipe))
    assert [row.name for row in compare_runs(subjects).rows] == ["a and 1 more seed", "c"]
    again = tmp_path / "again"
    again.mkdir()
    (again / "run.json").write_bytes((tmp_path / "a/run.json").read_bytes())
    subjects.append(replace(subjects[0], path=again))
    assert [row.name for row in compare_runs(subjects).rows] == ["a and 1 more seed", "c", "again"]
    with pytest.raises(DataError, match=r"a: is named 2 times; name each run once"):
        compare_runs([*subjects, subjects[0]])


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, right in (("old", np.arange(40) % 2 == 0), ("<b>new", np.arange(40) % 4 < 3)):
        found = evaluation(right)
        write_result(found, tmp_path / f"{name}.json")
        write_scores(found, tmp_path / f"{name}.scores.npz")
    results = [str(tmp_path / f"{name}.json") for name in ("old", "<b>new")]
    main([*results, "--output", str(tmp_path / "compare.html")])
    printed = capsys.readouterr().out
    assert re.search(r"old +50\.0% .*\n<b>new +75\.0% .*\+25\.0 \(.*\) +10/0 +0\.002\n", printed)
    page = (tmp_path / "compare.html").read_text("utf-8")
    assert "&lt;b&gt;new" in page and "<b>new" not in page and "+25.0" in page
    with pytest.raises(DataError, match="at least two"):
        main(results[:1])
