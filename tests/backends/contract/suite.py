"""Contract of `Session`, the same for every framework; run in separate processes by `test_session.py` of each.

Tensors, prediction and limits are here, training is in `training_suite.py`.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support import small_zoo
from tests.support.command_line import command
from tests.support.file_server import serving
from tests.support.sessions import (
    CLIPS,
    RNG,
    SPEC,
    TARGETS,
    assert_close,
    make_session,
)
from tests.support.tiny import write_recipe

from trishift.backends import open_session
from trishift.backends.contract import MicroBatch
from trishift.backends.fast_forms import NATIVE
from trishift.backends.limits import UNSUPPORTED, Unsupported
from trishift.errors import CheckpointError, DataError, FrameworkError, RecipeError
from trishift.model.initialization import initial_tensors
from trishift.model.pixels import normalization
from trishift.model.relations import all_relations, draw_relations
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec
from trishift.training.probe import fit_probe

FRAMEWORK = os.environ["TRISHIFT_FRAMEWORK"]
SMALL = {"backbone": "resnet18", "width": 8, "num_segments": 2, "shift": {}}  # the model of small_zoo.TSM
LIMITS = [entry for entry in UNSUPPORTED if entry.framework == FRAMEWORK]
NO_CUDA = [("gpu", "finds no CUDA device")]
ABSENT = {
    "pytorch": NO_CUDA,
    "paddle": NO_CUDA,
    "mindspore": [("gpu", r"up to version 2\.3 only"), ("ascend", "CANN toolkit")],
}[FRAMEWORK]
LAUNCHERS = {"pytorch": "torchrun", "mindspore": "msrun", "paddle": r"python -m paddle\.distributed\.launch"}


def test_framework_adds_no_log_handler() -> None:
    make_session()
    assert logging.StreamHandler not in map(type, logging.root.handlers)


# Tensors


@pytest.mark.parametrize("backbone", ["resnet10", "mobilenet_v2", "bn_inception"])
def test_tensors_have_canonical_names_and_shapes(backbone: str) -> None:
    session = make_session(ModelSpec(backbone, 3, num_segments=3, head=HeadSpec("multiscale_relation")))
    tensors = session.dump_tensors()
    assert {name: array.shape for name, array in tensors.items()} == session.tensor_shapes()
    assert list(tensors) == list(session.tensor_shapes())
    assert all(array.flags.c_contiguous and array.dtype == np.float32 for array in tensors.values())


def test_initial_weights_depend_on_the_seed_alone() -> None:
    session = make_session(seed=3)
    assert_close(session.dump_tensors(), initial_tensors(session.spec, 3), rtol=0)
    assert np.any(make_session(seed=4).dump_tensors()["head.fc.weight"] != session.dump_tensors()["head.fc.weight"])


def test_tensor_round_trip_makes_copies() -> None:
    source, target = make_session(seed=1, channels_last=False), make_session(seed=2, channels_last=True)
    target.load_tensors(source.dump_tensors())
    assert_close(target.dump_tensors(), source.dump_tensors(), rtol=0)
    source.dump_tensors()["head.fc.weight"][:] = 7
    assert not np.any(source.dump_tensors()["head.fc.weight"] == 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("backbone.bn1.bias"), r"backbone.bn1.bias is missing \(1 missing, 0 unknown\)"),
        (lambda t: t.update(extra=np.zeros(1)), r"extra is unknown"),
        (lambda t: t.update({"head.fc.bias": np.zeros(5)}), r"head.fc.bias is \(5,\), expected \(4,\)"),
        (lambda t: t.update({"head.fc.weight": np.zeros((32, 4))}), r"head.fc.weight is \(32, 4\), expected \(4, 32\)"),
    ],
)
def test_rejects_weights_of_another_network(change: Callable[[dict[str, np.ndarray]], object], message: str) -> None:
    session = make_session()
    tensors, before = session.dump_tensors(), session.dump_tensors()
    tensors["backbone.conv1.weight"] += 1
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        session.load_tensors(tensors)
    assert_close(session.dump_tensors(), before, rtol=0)


def test_probe_head_computes_the_regression() -> None:
    session = make_session()
    features = session.features(CLIPS, ["pooled"])["pooled"].mean(axis=1)
    probe = fit_probe(features, TARGETS, 4, ["a", "b", "c", "d"])
    session.load_tensors({**session.dump_tensors(), **probe.tensors()})
    np.testing.assert_allclose(session.predict(CLIPS), probe.logits(features), rtol=0, atol=1e-4)


# Prediction


def test_prediction_is_pure_and_per_clip() -> None:
    session = make_session()
    before, logits = session.dump_tensors(), session.predict(CLIPS)
    assert logits.shape == (4, 4)
    np.testing.assert_allclose(session.predict(CLIPS[3:])[0], logits[3], rtol=1e-4, atol=1e-6)
    assert_close(session.dump_tensors(), before, rtol=0)


def test_predictions_take_pixels() -> None:
    pixels, rule = RNG.integers(256, size=CLIPS.shape, dtype=np.uint8), normalization(InputSpec(), 3)
    session = make_session()
    with pytest.raises(DataError, match="clips of uint8: nobody said how to normalize them; call accept_pixels"):
        session.predict(pixels)
    assert not session.accept_pixels(rule)  # nothing is gained on a CPU, but it can
    np.testing.assert_allclose(session.predict(pixels), session.predict(rule(pixels)), rtol=1e-5, atol=1e-6)


def test_fused_form_follows_the_weights(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    spec = replace(SPEC, shift=ShiftSpec(div=4, direction="unidirectional"))
    plain, fused = (open_session(FRAMEWORK, spec, seed=1, form=form, strict=True) for form in ("native", "fused"))
    for seed in (1, 2):
        weights, states = initial_tensors(spec, seed), [None, None]
        for session in (plain, fused):
            session.load_tensors(weights)
        for frames in CLIPS[:2].swapaxes(0, 1)[:2]:
            (expected, states[0]), (found, states[1]) = plain.step(frames, states[0]), fused.step(frames, states[1])
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    layers = ["layer1", "layer2.0.conv1", "layer2.0.bn1", "layer4.0", "pooled", "logits"]
    assert_close(*(session.features(CLIPS[:2], layers) for session in (fused, plain)), rtol=1e-3, atol=1e-5)
    assert fused.last_form != plain.last_form == NATIVE
    assert_close(fused.dump_tensors(), weights, rtol=0)
    assert caplog.text.count(f"prediction in {FRAMEWORK}") == 3


def test_features_have_clip_and_frame_axes() -> None:
    session = make_session(ModelSpec("resnet10", 4, num_segments=4, width=4, shift=ShiftSpec(), temporal_pool=True))
    features = session.features(CLIPS[:2], ["layer1", "layer2", "layer4.0", "pooled", "logits"])
    shapes = [features[name].shape for name in ("layer1", "layer2", "layer4.0", "pooled")]
    assert shapes == [(2, 4, 4, 8, 8), (2, 2, 8, 4, 4), (2, 2, 32, 1, 1), (2, 2, 32)]
    np.testing.assert_allclose(features["layer4.0"].mean((3, 4)), features["pooled"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(features["logits"], session.predict(CLIPS[:2]), rtol=1e-5, atol=1e-7)
    tensors = session.dump_tensors()
    logits = (features["pooled"] @ tensors["head.fc.weight"].T + tensors["head.fc.bias"]).mean(1)
    np.testing.assert_allclose(logits, features["logits"], rtol=1e-4, atol=1e-6)
    with pytest.raises(RecipeError, match=r"'layer9' is unknown; known layers include conv1, bn1, .*layer1"):
        session.features(CLIPS[:1], ["layer9"])


def test_drawn_relations_replace_the_expected_ones() -> None:
    spec = ModelSpec("resnet10", 4, 4, width=4, head=HeadSpec("multiscale_relation", 8, relations_per_scale=1))
    session = make_session(spec)
    draws = draw_relations(spec.head, 4, np.random.default_rng(0))
    assert np.abs(session.predict(CLIPS, draws) - session.predict(CLIPS)).max() > 1e-4
    pooled = session.features(CLIPS, ["pooled"])["pooled"]
    for chosen in (None, draws):  # the head alone
        np.testing.assert_allclose(
            session.classify(pooled, chosen), session.predict(CLIPS, chosen), rtol=1e-4, atol=1e-6
        )
    everything = [all_relations(4, scale) for scale in (4, 3, 2)]
    plain_sum = make_session(replace(spec, head=replace(spec.head, relations="all")))
    np.testing.assert_allclose(session.predict(CLIPS, everything), plain_sum.predict(CLIPS), rtol=1e-4, atol=1e-6)
    sampled = make_session(replace(spec, head=replace(spec.head, relations="sampled")))
    with pytest.raises(RecipeError, match="'sampled' needs relations drawn by the caller"):
        sampled.predict(CLIPS)
    np.testing.assert_allclose(sampled.predict(CLIPS, everything), plain_sum.predict(CLIPS), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 3, 32, 32), (1, 4, 1, 32, 32)])
def test_rejects_clips_of_another_model(shape: tuple[int, ...]) -> None:
    session, clips = make_session(), np.zeros(shape, np.float32)
    for use in (session.predict, lambda clips: session.gradients(MicroBatch(clips, TARGETS[:1]))):
        with pytest.raises(DataError, match="do not fit a model of 4 segments and 3 channels"):
            use(clips)


# Devices


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_unsupported_execution_names_a_remedy(limit: Unsupported) -> None:
    with pytest.raises(FrameworkError, match=rf"{limit.reason}; set Execution\(") as caught:
        make_session(**{"device": limit.device, limit.setting: limit.value})
    assert "\n" not in str(caught.value)


def test_ranks_need_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("RANK", "MS_ROLE", "PADDLE_TRAINER_ID"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(FrameworkError, match=f"start with {LAUNCHERS[FRAMEWORK]}"):
        make_session(distributed=True)


@pytest.mark.parametrize(("device", "reason"), ABSENT)
def test_missing_device_names_a_remedy(device: str, reason: str) -> None:
    try:
        make_session(device=device)
    except FrameworkError as error:
        assert re.search(rf"{reason}.* set Execution\(device='cpu'\)$", str(error))
    else:
        pytest.skip(f"there is a device {device}")


# Published weights


def test_published_names_replace_files(gestures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an empty home folder, infer downloads; train, convert and export make no request."""
    recipe = write_recipe(tmp_path / "recipe.yaml", gestures, model=SMALL, train={"new_head": "auto"})
    name, suffix = ("--checkpoint", small_zoo.TSM), {"pytorch": "pth", "mindspore": "ckpt", "paddle": "pdparams"}
    form = {"pytorch": "torch", "mindspore": "mindir", "paddle": "paddle"}[FRAMEWORK]
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path / "home"))
    start, run = f"train.initial_weights={small_zoo.TSM}", tmp_path / "run"
    with serving() as server:
        server.files |= small_zoo.write(tmp_path)
        small_zoo.serve(server, monkeypatch)
        clip = next(path for path in gestures.rglob("*.*") if path.suffix in (".mp4", ".avi"))
        assert command("infer", *name, "--framework", FRAMEWORK, clip) == 0
        assert len(server.requests) == 2  # a dead address, and the file
        monkeypatch.setenv("TRISHIFT_OFFLINE", "1")
        assert command("train", "--config", recipe, "--framework", FRAMEWORK, "--output", run, start) == 0
        target = tmp_path / f"tsm.{suffix[FRAMEWORK]}"
        assert command("convert", small_zoo.TSM, target) == 0 and target.is_file()
        assert command("export", *name, "--format", form, "--output", tmp_path / "out") == 0
        assert len(server.requests) == 2
    assert (run / "best.safetensors").is_file()
