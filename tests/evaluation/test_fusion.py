"""Score files of several models: reading, matching videos, fusing, MSN's format, and mismatches."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trishift.cli import main
from trishift.errors import DataError
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.fusion import evaluation_of, fuse, video_keys
from trishift.evaluation.metrics import MultiLabelMetrics, sigmoid, softmax
from trishift.evaluation.scores import read_scores, write_pickle
from trishift.reporting.evaluation import write_scores

VIDEOS, CLASSES = 40, 6
TARGETS = np.random.default_rng(0).integers(CLASSES, size=VIDEOS)


def evaluation(seed: int, **changes: object) -> Evaluation:
    """A model with roughly 50% accuracy."""
    scores = np.random.default_rng(seed).normal(size=(VIDEOS, CLASSES)) * 2
    scores[np.arange(VIDEOS), TARGETS] += 2
    labels = tuple("abcdef")
    names = [f"data/val/{number:03d}.mp4" for number in range(VIDEOS)]
    return replace(Evaluation("", labels, names, scores.astype(np.float32), TARGETS, []), **changes)  # type: ignore[arg-type]


def written(model: Evaluation, path: Path) -> Path:
    write_scores(model, path.with_suffix(".scores.npz"))
    return path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["fuse", *map(str, arguments)])
    return int(stop.value.code or 0)


def shuffled(model: Evaluation) -> Evaluation:
    """The same videos in another order, as frame folders at other paths."""
    order = np.random.default_rng(1).permutation(VIDEOS)
    names = [f"/flow/{int(Path(model.names[i]).stem)}" for i in order]
    return replace(model, names=names, scores=model.scores[order], targets=model.targets[order])


def test_fused_score_is_the_weighted_mean(tmp_path: Path) -> None:
    rgb, flow = evaluation(1), evaluation(2)
    parts = [read_scores(written(m, tmp_path / n)) for m, n in ((rgb, "rgb.json"), (shuffled(flow), "flow.json"))]
    fused = fuse(parts, [1, 1.5])
    expected = (softmax(rgb.scores) + 1.5 * softmax(flow.scores)) / 2.5
    np.testing.assert_allclose(softmax(fused.scores), expected, rtol=1e-5)
    assert fused.names == rgb.names
    logits = fuse(parts, [3, 1], "logits")
    np.testing.assert_allclose(logits.scores, 0.75 * rgb.scores + 0.25 * flow.scores, rtol=1e-5, atol=1e-6)


def test_file_without_scores_is_refused(tmp_path: Path) -> None:
    nothing = evaluation(1, names=[], scores=np.zeros((0, CLASSES), np.float32), targets=np.zeros(0, int))
    part = read_scores(written(nothing, tmp_path / "nothing.json"))
    with pytest.raises(DataError, match=r"nothing\.scores\.npz: has no scores to fuse"):
        fuse([part, part], [1, 1])


def test_multi_label_probabilities_fuse_per_class(tmp_path: Path) -> None:
    targets = np.eye(CLASSES, dtype=np.float32)[TARGETS] + np.eye(CLASSES, dtype=np.float32)[TARGETS - 1]
    rgb, flow = evaluation(1, targets=targets), evaluation(2, targets=targets)
    fused = fuse([read_scores(written(m, tmp_path / n)) for m, n in ((rgb, "rgb.json"), (flow, "flow.json"))], [1, 1])
    expected = (sigmoid(rgb.scores) + sigmoid(flow.scores)) / 2
    np.testing.assert_allclose(sigmoid(fused.scores), expected, rtol=1e-5)
    assert isinstance(fused.metrics, MultiLabelMetrics)
    assert run(tmp_path / "rgb.json", tmp_path / "flow.json", "--output", tmp_path / "both.json") == 0
    assert (tmp_path / "both.classes.csv").is_file()


def test_weight_zero_excludes_a_model(tmp_path: Path) -> None:
    parts = [read_scores(written(evaluation(seed), tmp_path / f"{seed}.json")) for seed in (1, 2)]
    assert fuse(parts, [0, 2]).metrics == evaluation(2).metrics


def test_certain_scores_stay_finite(tmp_path: Path) -> None:
    certain = evaluation(1, scores=np.eye(CLASSES, dtype=np.float32)[TARGETS] * 5000)
    fused = fuse([read_scores(written(certain, tmp_path / "certain.json"))], [1])
    assert np.isfinite(fused.scores).all()
    assert fused.metrics.top1 == 1


def test_videos_match_across_formats() -> None:
    clips = ["data/val/a/clip_1.mp4", "data/val/b/0042.webm", "data/val/b/v1.2"]
    frames = ["/frames/a/clip_1", "/frames/b/42", "/frames/b/v1.2"]
    assert video_keys(clips) == video_keys(frames) == ["a/clip_1", "b/42", "b/v1.2"]
    assert video_keys(["one/clip.mp4"]) == ["clip"]


def test_names_that_are_folders_have_keys() -> None:
    assert video_keys([".", "..", ""]) == [".", "..", "."]


def test_command_prints_metrics_and_writes_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rgb, flow = (written(evaluation(seed), tmp_path / f"{seed}.json") for seed in (1, 2))
    assert run(rgb, f"{flow}:1.5", "--output", tmp_path / "out/both.json") == 0
    printed = capsys.readouterr().out
    for seed in (1, 2):
        assert evaluation(seed).figures in printed
    result = json.loads((tmp_path / "out/both.json").read_text())
    assert f"fused: top-1 {result['top1']:.2%}" in printed
    assert result["videos"] == VIDEOS
    again = evaluation_of(read_scores(tmp_path / "out/both.json"))
    assert again.metrics.top1 == result["top1"]


def test_msn_pickles_round_trip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    views = [evaluation(seed) for seed in range(3)]
    for number, view in enumerate(views):  # as MSN's test scripts write them
        rows = [[row[None], int(target)] for row, target in zip(view.scores, view.targets, strict=True)]
        (tmp_path / "msn").mkdir(exist_ok=True)
        (tmp_path / "msn" / f"0_crop{number}.pkl").write_bytes(pickle.dumps(rows))
    model = read_scores(tmp_path / "msn")
    expected = np.mean([softmax(view.scores) for view in views], axis=0)
    np.testing.assert_allclose(softmax(model.logits), expected, rtol=1e-5)

    other = written(evaluation(7), tmp_path / "other.json")
    assert run(f"{tmp_path / 'msn'}:1", other, "--output", tmp_path / "all.pkl") == 0
    rows = pickle.loads((tmp_path / "all.pkl").read_bytes())  # our own file
    assert len(rows) == VIDEOS
    assert rows[3][0].shape == (1, CLASSES) and rows[3][0].dtype == np.float32
    assert [row[1] for row in rows] == TARGETS.tolist()
    both = (expected + softmax(evaluation(7).scores)) / 2
    np.testing.assert_allclose(softmax(np.concatenate([row[0] for row in rows])), both, rtol=1e-5)
    write_pickle(evaluation(1), tmp_path / "one.pkl")
    np.testing.assert_array_equal(read_scores(tmp_path / "one.pkl").logits, evaluation(1).scores)


class Harm:
    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("print('harm')",))


def test_pickles_execute_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps([[Harm(), 1]]))
    assert run(tmp_path / "bad.pkl") == 1
    captured = capsys.readouterr()
    assert "harm" not in captured.out
    assert "refers to builtins.exec" in captured.err


def numbered(model: Evaluation) -> Evaluation:
    return replace(model, labels=tuple(map(str, range(CLASSES))))


WRONG = {
    "other videos": (
        evaluation(2, names=[f"val/{n}x.mp4" for n in range(VIDEOS)]),
        "videos of .*: 0 and 39 more",
    ),
    "fewer videos": (
        evaluation(2, names=evaluation(2).names[1:], scores=evaluation(2).scores[1:], targets=TARGETS[1:]),
        "has 39 videos, .* has 40; evaluate all models on the same list",
    ),
    "twice": (evaluation(2, names=["data/val/1.mp4", *evaluation(2).names[1:]]), "1 is listed twice"),
    "other classes": (
        evaluation(2, labels=tuple("abcdex")),
        r"classes differ from .*: 1 only in .* \('f'\); 1 only in .* \('x'\)",
    ),
    "more classes": (
        evaluation(2, labels=tuple("abcdefg"), scores=np.zeros((VIDEOS, 7), np.float32)),
        "has 7 classes, .* has 6",
    ),
    "other labels": (
        evaluation(2, targets=(TARGETS + 1) % CLASSES),
        r"for data/val/000.mp4 and 39 more",
    ),
}


@pytest.mark.parametrize(("model", "message"), WRONG.values(), ids=WRONG)
def test_rejects_mismatched_scores(
    model: Evaluation, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = written(evaluation(1), tmp_path / "a.json"), written(model, tmp_path / "b.json")
    assert run(first, second) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "b.scores.npz" in line
    assert re.search(message, line), line


def test_classes_in_another_order_are_mapped_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    order = np.array([3, 1, 5, 0, 2, 4])
    second = evaluation(2)
    reordered = replace(
        second,
        labels=tuple(second.labels[k] for k in order),
        scores=second.scores[:, order],
        targets=np.argsort(order)[TARGETS],
    )
    parts = [read_scores(written(m, tmp_path / f"{i}.json")) for i, m in enumerate((evaluation(1), second, reordered))]
    expected, found = fuse(parts[:2], [1, 1]), fuse(parts[::2], [1, 1])
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.targets, TARGETS)
    assert "mapped by name" in caplog.text


def test_unnamed_classes_match_any_names(tmp_path: Path) -> None:
    paths = [written(m, tmp_path / f"{i}.json") for i, m in enumerate([evaluation(1), numbered(evaluation(2))])]
    assert fuse([read_scores(path) for path in paths], [1, 1]).labels == tuple("abcdef")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.json", None, "missing.scores.npz: no such score file"),
        ("damaged.scores.npz", b"PK nonsense", "not a score file of an evaluation"),
        ("damaged.pkl", b"nonsense", "not a list of"),
        ("other.pkl", pickle.dumps({"a": 1}), "not a list of"),
        ("labels.pkl", pickle.dumps([[[0.0, 1.0], 2]]), "labels outside its 2 classes"),
    ],
)
def test_damaged_files_are_one_line(
    name: str, content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert run(tmp_path / name) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert name.split(".")[0] in line and message in line


def test_rejects_invalid_views_and_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "views").mkdir()
    assert run(tmp_path / "views") == 1
    write_pickle(evaluation(1), tmp_path / "views/0.pkl")
    write_pickle(evaluation(1, targets=TARGETS[::-1]), tmp_path / "views/1.pkl")
    assert run(tmp_path / "views") == 1
    assert run(f"{written(evaluation(1), tmp_path / 'a.json')}:-1") == 1
    errors = capsys.readouterr().err.splitlines()
    for line, message in zip(
        errors, ("contains no .pkl files", "contains other videos than", "must be positive"), strict=True
    ):
        assert message in line


def shared_lists(levels: int) -> object:
    value: object = 0.0
    for _ in range(levels):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "rows",
    [
        [[shared_lists(60), 0]],  # 2**60 numbers
        [[[1.0, 2.0], 10**30]],
        [[np.zeros((1, 2000), np.float32), 0]] * 5000,  # one array
        [[["a", "b"], 0]],
    ],
    ids=["nested", "label", "repeated", "text"],
)
def test_rejects_pickles_that_are_not_scores(rows: object, tmp_path: Path) -> None:
    (tmp_path / "s.pkl").write_bytes(pickle.dumps(rows, 2))
    with pytest.raises(DataError, match=r"not a list of|has labels outside"):
        read_scores(tmp_path / "s.pkl")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rejects_scores_that_are_not_finite(value: float, tmp_path: Path) -> None:
    good = evaluation(1)
    good.scores[1, 0] = value
    arrays = {"names": np.array(good.names), "targets": good.targets, "labels": np.array(good.labels)}
    np.savez(tmp_path / "s.npz", scores=good.scores, **arrays)
    (tmp_path / "s.pkl").write_bytes(pickle.dumps([[[value, 1.0], 0]], 2))
    for name in ("s.npz", "s.pkl"):
        with pytest.raises(DataError, match="infinite or not numbers"):
            read_scores(tmp_path / name)


@pytest.mark.parametrize("name", ["names", "scores", "targets", "labels"])
@pytest.mark.parametrize("value", [np.array(5), np.zeros(40, "V8"), np.array(["a"] * 40), np.zeros(10**7, np.int8)])
def test_rejects_other_arrays(name: str, value: np.ndarray, tmp_path: Path) -> None:
    good = evaluation(1)
    arrays = {
        **{"names": np.array(good.names), "scores": good.scores, "targets": good.targets},
        **{"labels": np.array(good.labels), name: value},
    }
    if name == "names" and value.dtype.kind == "U":
        arrays["names"] = value[:3]
    np.savez_compressed(tmp_path / "s.npz", **arrays)
    with pytest.raises(DataError, match=r"not a score file|wrong type|differ in length|outside its"):
        read_scores(tmp_path / "s.npz")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["names", "labels"])
def test_rejects_characters_that_do_not_exist(name: str, order: str, tmp_path: Path) -> None:
    good = evaluation(1)
    texts = {"names": np.array(good.names), "labels": np.array(good.labels)}
    codes = np.frombuffer(texts[name].tobytes(), np.uint32).copy()
    codes[0] = 2**31
    texts[name] = codes.view(texts[name].dtype).astype(texts[name].dtype.newbyteorder(order))
    np.savez(tmp_path / "s.npz", **texts, scores=good.scores, targets=good.targets)
    with pytest.raises(DataError, match="characters that do not exist"):
        read_scores(tmp_path / "s.npz")
