"""Teachers: their pixels, their class order, and files that cannot teach."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tests.support.tiny import write_recipe

from trishift.backends import open_session
from trishift.backends.contract import Execution
from trishift.checkpoints.canonical import Checkpoint, save
from trishift.data.transforms import normalize, stack_segments
from trishift.errors import RecipeError, TrishiftError
from trishift.evaluation.metrics import softmax
from trishift.model.initialization import initial_tensors
from trishift.model.spec import CAFFE_INPUT, InputSpec, ModelSpec, ShiftSpec
from trishift.recipe import Recipe, TrainSpec, load_recipe
from trishift.recipe.options import DistillationSpec
from trishift.training.distillation import PixelMap, Teachers
from trishift.training.run import train

NAMES = ("left", "right", "up")
MODEL = ModelSpec("resnet10", 3, num_segments=4, width=4)
PIXELS = InputSpec(resize=32, crop=32)
BGR = dataclasses.replace(CAFFE_INPUT, resize=40, crop=32)
FLOW = InputSpec(modality="flow", resize=32, crop=32, mean=(0.5, 0.5), std=(0.25, 0.25))
GRAY_FLOW = InputSpec(modality="flow", resize=32, crop=32, scale=1.0, mean=(128.0, 128.0), std=(1.0, 2.0))


def teacher(path: Path, model: ModelSpec = MODEL, pixels: InputSpec = PIXELS, labels: tuple[str, ...] = NAMES) -> str:
    save(path, Checkpoint(initial_tensors(model, 5), model, pixels, labels or None))
    return str(path)


def recipe(*teachers: str, **options: float) -> Recipe:
    return Recipe(model=MODEL, input=PIXELS, train=TrainSpec(distillation=DistillationSpec(teachers, **options)))


@pytest.mark.parametrize(
    ("source", "target", "length"), [(PIXELS, BGR, 1), (BGR, PIXELS, 5), (FLOW, GRAY_FLOW, 5), (PIXELS, PIXELS, 1)]
)
def test_pixels_are_normalized_for_the_teacher(source: InputSpec, target: InputSpec, length: int) -> None:
    channels = 2 if source.modality == "flow" else 3
    frames = np.random.default_rng(0).integers(0, 256, (2 * length, 4, 4, channels), dtype=np.uint8)
    own, wanted = (stack_segments(normalize(frames, pixels), pixels, length)[None] for pixels in (source, target))
    mapped = PixelMap(source, target, channels * length)(own)
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(mapped, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_probabilities_are_the_mean_of_teachers_in_the_order_of_the_data(tmp_path: Path) -> None:
    swapped = ("up", "left", "right")
    shifted = dataclasses.replace(MODEL, shift=ShiftSpec(div=4))
    first, second = teacher(tmp_path / "a.safetensors"), teacher(tmp_path / "b.safetensors", shifted, BGR, swapped)
    student = open_session("pytorch", MODEL, Execution())
    clips = np.random.default_rng(1).standard_normal((2, 4, 3, 32, 32)).astype(np.float32)
    found = Teachers(recipe(first, second, temperature=3.0), student, NAMES).probabilities(clips)
    expected = []
    for model, inputs, order in ((MODEL, clips, [0, 1, 2]), (shifted, PixelMap(PIXELS, BGR, 3)(clips), [1, 2, 0])):
        session = open_session("pytorch", model, Execution(), seed=5)
        expected.append(softmax(session.predict(inputs) / 3)[:, order])
    np.testing.assert_allclose(found, np.mean(expected, 0), rtol=1e-5)
    assert Teachers(recipe(), student, NAMES).probabilities(clips) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": ("left", "right", "down")},
            r"classes differ from .*teacher.*: 1 only in the data set \('up'\); 1 only .* remove it from train",
        ),
        ({"model": dataclasses.replace(MODEL, num_classes=4), "labels": ()}, "has model.num_classes 4, the recipe 3"),
        (
            {"model": dataclasses.replace(MODEL, num_segments=8)},
            "has model.num_segments 8, the recipe 4; make them equal",
        ),
        (
            {"model": dataclasses.replace(MODEL, in_channels=10), "pixels": FLOW},
            "has model.in_channels 10, the recipe 3",
        ),
        ({"pixels": dataclasses.replace(PIXELS, crop=24)}, "has input.crop 24, the recipe 32"),
        ({"model": dataclasses.replace(MODEL, multi_label=True)}, "was trained for several labels per clip; remove it"),
        ({"model": dataclasses.replace(MODEL, num_classes=0), "labels": ()}, "has no head, so it cannot teach"),
    ],
)
def test_files_that_cannot_teach_are_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    path = teacher(tmp_path / "teacher.safetensors", **changes)  # type: ignore[arg-type]
    student = open_session("pytorch", MODEL, Execution())
    with pytest.raises(TrishiftError, match=message) as error:
        Teachers(recipe(path), student, NAMES)
    assert "teacher.safetensors" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.loss=bce", r"train\.distillation: is for a single label per clip, but train\.loss bce is for several"),
        ("execution.distributed=true", r"train\.distillation: teachers and peers run in a single process"),
        ("train.distillation.weight=0", r"train\.distillation\.weight: 0\.0 is not in \(0, 1\]"),
        ("train.distillation.temperature=0", r"train\.distillation\.temperature: must be positive"),
    ],
)
def test_recipes_that_cannot_be_guided_are_refused(override: str, message: str, tmp_path: Path) -> None:
    config = write_recipe(tmp_path / "tiny.yaml", tmp_path, train={"distillation": {"teachers": ["a.pth"]}})
    with pytest.raises(RecipeError, match=message):
        load_recipe(config, [override])


def test_training_follows_a_teacher(gestures: Path, tmp_path: Path) -> None:
    config = write_recipe(tmp_path / "tiny.yaml", gestures)
    names = tuple((gestures / "labels.txt").read_text().split("\n"))[:9]
    model = dataclasses.replace(load_recipe(config).model, num_classes=9)
    path = teacher(tmp_path / "teacher.safetensors", model, labels=names)
    losses = []
    for name, teachers in (("alone", []), ("guided", [path])):
        train(load_recipe(config, [f"train.distillation.teachers={teachers}"]), "pytorch", tmp_path / name)
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        losses.append([record["loss"] for record in map(json.loads, lines) if record["kind"] == "train"])
    assert len(losses[0]) == len(losses[1]) == 3
    assert losses[1][0] < 0.75 * losses[0][0]  # an untrained teacher agrees with an untrained student
