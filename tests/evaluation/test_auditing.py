"""The audit: what each alteration does to a clip, and the words for what tells classes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.command_line import command, error_line
from tests.support.installed import MISSING
from tests.support.tiny import write_recipe

from trishift.backends import open_session
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.canonical import save
from trishift.errors import DataError
from trishift.evaluation import auditing
from trishift.evaluation.auditing import VARIANTS, Audited
from trishift.evaluation.findings import Findings
from trishift.model.initialization import initial_tensors
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec
from trishift.recipe import load_recipe, recipe_to_dict
from trishift.reporting.audit import page_text

needs_pytorch = pytest.mark.skipif("pytorch" in MISSING, reason="pytorch is not installed")
TSM = ModelSpec("resnet10", 4, 8, width=4, shift=ShiftSpec(div=4))
TSN = replace(TSM, shift=None)
TRN = replace(TSN, num_segments=4, head=HeadSpec("multiscale_relation", 8, 8))


def clips(segments: int = 4, channels: int = 3) -> np.ndarray:
    """Two clips whose pixels are the numbers of their frames, with a still square in one corner."""
    length = channels // 3
    frames = np.arange(segments * length, dtype=np.float32).reshape(1, segments, length, 1, 1, 1)
    array = np.broadcast_to(frames, (2, segments, length, 3, 20, 20)).copy()
    array[..., :2, :2] = 7
    return array.reshape(2, segments, channels, 20, 20)


def middles(array: np.ndarray) -> list[float]:
    return array.reshape(2, -1, 3, 20, 20)[0, :, 0, 10, 10].tolist()


@pytest.mark.parametrize("channels", [3, 15])
def test_alterations(channels: int) -> None:
    given, length = clips(4, channels), channels // 3
    count = 4 * length
    assert middles(auditing._frozen(given, 2, length)) == [2 * length + length // 2] * count
    shuffled = middles(auditing._shuffled(given))
    assert sorted(shuffled) == list(range(count))
    assert middles(auditing._shuffled(given[1:].repeat(2, 0))) == shuffled  # of the clip's own pixels
    border = auditing._border(given, length)
    assert border[0, 0, 0, 0, 0] == 7 and border[0, 0, 0, 10, 10] == 0
    assert border[0, 0, 0, 0, 10] == (count - 1) / 2 and (border == border[:, :1]).all()


@needs_pytorch
@pytest.mark.parametrize("spec", [TSM, TSN, TRN])
def test_forms_predict_what_they_say(spec: ModelSpec) -> None:
    session = open_session("pytorch", spec, weights=initial_tensors(spec, 1))
    forms = auditing._forms(session, 1)
    assert list(forms)[: len(VARIANTS)] == list(VARIANTS)
    given = np.random.default_rng(0).standard_normal((2, spec.num_segments, 3, 32, 32)).astype(np.float32)
    found = {name: form(given) for name, form in forms.items()}
    np.testing.assert_allclose(found["backward"], session.predict(given[:, ::-1].copy()), rtol=1e-5)
    chosen = spec.num_segments * np.array([1, 3]) // 4  # of two segments, in a clip of T
    repeated = np.repeat(given[:, chosen], spec.num_segments // 2, axis=1)
    np.testing.assert_allclose(found["2"], session.predict(repeated), rtol=1e-5, atol=1e-6)
    frozen = np.repeat(given[:, [spec.num_segments // 2]], spec.num_segments, axis=1)
    np.testing.assert_allclose(found["1"], session.predict(frozen), rtol=1e-5, atol=1e-6)
    same = np.abs(found["backward"] - found["as trained"]).max() < 1e-5
    assert same == (spec is TSN)  # which sees no order
    if spec is TSN:
        np.testing.assert_allclose(found["single frames"], found["as trained"], atol=1e-5)


def audited(spec: ModelSpec = TSM, **right: float) -> Audited:
    """Scores of 80 videos in 20 groups, of which a share is right; others are taken for class 0, or 1 if it is 0."""
    rng = np.random.default_rng(0)
    targets = np.tile(np.arange(4), 20)
    scores = {}
    for name in (*VARIANTS, "1", "2", "4"):
        share = right.get(name.replace(" ", "_"), right.get("others", 0.95))
        wrong = np.where(targets == 0, 1, 0)
        taken = np.where(rng.random(80) < share, targets, wrong)
        scores[name] = np.eye(4)[taken] * 5
    groups = [f"g{place // 4}" for place in range(80)]
    return Audited(("wave", "<i>", "nod\x1b", "clap"), [f"v{i}" for i in range(80)], targets, groups, scores, [], spec)


def test_says_that_time_is_needed() -> None:
    findings = Findings(audited(backward=0.2, shuffled=0.4, single_frames=0.3, **{"1": 0.3, "2": 0.5}))
    assert findings.overall.kind == "order" and findings.verdict.startswith("time needed: the order of the frames")
    assert findings.enough == 4 and "TRN with 4 segments" in findings.advice()[0]
    assert findings.classes["clap"].needs_time
    assert "played backward, " in findings.told_by("clap") and "are taken for wave" in findings.told_by("clap")
    text = findings.report()
    assert "\x1b" not in text and text.startswith(findings.verdict)
    assert findings.summary()["needs_time"] is True
    json.dumps(findings.summary())
    any_order = Findings(audited(single_frames=0.3))
    assert any_order.overall.kind == "several frames" and any_order.verdict.startswith("time needed: several frames")


def test_page_is_safe() -> None:
    page = page_text(Findings(replace(audited(), misses=[("x<b>", "x<b>.mp4: damaged")])))
    assert "&lt;i&gt;" in page and "<i>clap" not in page and "x&lt;b&gt;.mp4" in page and "\x1b" not in page
    assert page.count("<svg") == 1 and "Told by" in page


def test_says_that_single_frames_do() -> None:
    findings = Findings(audited(backward=0.95))
    assert findings.verdict.startswith("single frames do:") and findings.summary()["needs_time"] is False
    assert "a TSN with 1 segment should do" in findings.advice()[0]
    assert any("the background tells classes" in line for line in findings.advice())
    assert Findings(audited(**{"2": 0.3})).enough == 4  # one segment is no better founded than two
    mostly = Findings(audited(single_frames=0.93, as_trained=1.0, still_border=0.2))
    assert mostly.verdict.startswith("single frames do for most clips")
    assert not any("background" in line for line in mostly.advice())


def test_claims_nothing_without_grounds() -> None:
    unlearned = Findings(audited(others=0.2))
    assert unlearned.overall.kind == "not learned" and unlearned.summary()["needs_time"] is None
    assert unlearned.summary()["enough_segments"] is None
    blind = Findings(audited(TSN))
    assert "cannot use their order" in blind.verdict and "only training one tells" in blind.advice()[0]
    assert set(map(blind.told_by, blind.classes)) == {"frames, as this network sees no order"}
    few = audited()
    one_group = Findings(replace(few, groups=["g"] * 80))
    assert {found.kind for found in one_group.classes.values()} == {"too few clips"}
    assert "one group" in one_group.verdict and one_group.summary()["needs_time"] is None


def test_joins_folds() -> None:
    both = audited().joined(audited())
    assert len(both.names) == len(both.targets) == len(both.scores["backward"]) == 160
    with pytest.raises(DataError, match="audit them one by one"):
        audited().joined(replace(audited(), labels=("a", "b", "c", "d")))


def test_several_labels_have_no_classes() -> None:
    given = audited()
    targets = np.eye(4, dtype=np.float32)[given.targets[:12]]
    targets[0] = 0  # a video without a label
    scores = {name: rows[:12] for name, rows in given.scores.items()}
    findings = Findings(replace(given, targets=targets, groups=given.groups[:12], scores=scores))
    assert findings.classes == {} and findings.overall.videos == 11 and "mAP" in findings.report()


@needs_pytorch
def test_command(gestures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = load_recipe(write_recipe(tmp_path / "tiny.yaml", gestures))
    spec = replace(recipe.model, num_classes=9)
    labels = tuple((gestures / "labels.txt").read_text().split("\n")[:9])
    tensors = initial_tensors(spec, 0)
    pixels, weights = InputSpec(resize=32, crop=32), tmp_path / "w.safetensors"
    save(weights, Checkpoint(tensors, spec, pixels, labels, {"recipe": recipe_to_dict(recipe)}))
    outputs = [tmp_path / "audit.json", tmp_path / "audit.html"]
    assert command("audit", "--checkpoint", weights, "--output", *outputs) == 0
    assert "still border" in capsys.readouterr().out
    written = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert written["overall"]["videos"] == 18 and set(VARIANTS) < set(written["overall"]["reached"])
    save(weights, Checkpoint(tensors, spec, pixels, labels))
    assert command("audit", "--checkpoint", weights) == 1
    assert "contains no recipe; name the data with --config" in error_line(capsys)
    tensors["head.fc.bias"] = tensors["head.fc.bias"] * np.nan
    save(weights, Checkpoint(tensors, spec, pixels, labels, {"recipe": recipe_to_dict(recipe)}))
    assert command("audit", "--checkpoint", weights) == 1
    assert "the scores are not finite, nor those of 17 others" in error_line(capsys)
