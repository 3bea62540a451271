"""Optical flow: the originals' files, what is computed from videos, extraction, and models that see motion."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from testing.encoded_clips import encode
from tests.support.tiny import write_recipe

import trishift
from trishift.cli import main
from trishift.data.clip_reader import ClipReader
from trishift.data.dataset import ClipDataset, DataSpec, EvaluationSet, TrainingSet
from trishift.data.flow import FlowFolder, VideoFlow, as_picture, flow_pictures
from trishift.data.gestures import make_gestures
from trishift.data.lists import VideoRecord, read_list
from trishift.data.prepare.flow import FlowOptions, prepare_flow
from trishift.data.protocol import PROTOCOLS, Protocol
from trishift.data.sources import open_clip, open_flow
from trishift.data.transforms import AugmentationSpec
from trishift.errors import DataError, FrameworkError, RecipeError
from trishift.model.spec import Modality, ModelSpec, default_input
from trishift.recipe import load_recipe
from trishift.training.initial_weights import adapt_stem

FLOW = ModelSpec("resnet10", 9, num_segments=4, in_channels=10, width=8)
DIFFERENCES = ModelSpec("resnet10", 9, num_segments=4, in_channels=15, width=8)


def texture(size: int = 64) -> np.ndarray:
    """(size, size, 3) uint8 with structure everywhere."""
    noise = np.random.default_rng(0).random((size, size)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.repeat(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)[..., None], 3, axis=2)


def write_flow(folder: Path, name: str, steps: int = 6, colors: bool = False) -> np.ndarray:
    """Flow pictures without loss of one color each: (steps, 8, 8, 2)."""
    folder.mkdir(parents=True, exist_ok=True)
    flow = np.random.default_rng(1).integers(256, size=(steps, 1, 1, 2), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    for step, picture in enumerate(flow, 1):
        if colors:
            both = np.concatenate([picture, np.zeros_like(picture[..., :1])], axis=-1)
            Image.fromarray(both).save(folder / name.format(step))
        else:
            for axis, direction in enumerate("xy"):
                Image.fromarray(picture[..., axis]).save(folder / name.format(direction, step))
    return flow


def test_flow_is_stored_in_8_bits() -> None:
    flow = np.array([[-30, -20, -5, 0, 5, 20, 30]], np.float32)
    assert as_picture(flow).tolist() == [[0, 0, 96, 128, 159, 255, 255]]


def test_flow_follows_motion() -> None:
    frame = texture()
    moved = np.roll(np.roll(frame, 3, axis=1), -2, axis=0)  # right and up
    (picture,) = flow_pictures([frame, moved], Path("clip"))
    x, y = np.median(picture[8:-8, 8:-8], axis=(0, 1))
    assert (x, y) == (round(127.5 + 3 * 6.375), round(127.5 - 2 * 6.375))


@pytest.mark.parametrize(
    ("clip", "name", "template", "colors"),
    [
        ("v_Archery_g01", "flow_{}_{:05d}.png", "flow_{}_{:05d}.png", False),  # UCF101, HMDB51
        ("000007", "000007-{}_{:05d}.png", "{:06d}-{}_{:05d}.png", False),  # Something-Something V1
        ("someone", "flow_xyz_{:05d}.png", "flow_xyz_{:05d}.png", True),  # TRN on Moments
        ("1234", "{:06d}.png", "{:06d}.png", True),  # Something-Something V2
    ],
)
def test_reads_the_original_file_layouts(tmp_path: Path, clip: str, name: str, template: str, colors: bool) -> None:
    flow = write_flow(tmp_path / clip, name, colors=colors)
    Image.fromarray(texture(8)).save(tmp_path / clip / "img_00001.jpg")  # frames may lie beside
    path = tmp_path / clip.lstrip("0")
    for given in (template, None) if name.startswith(("flow", "0")) else (template,):
        with open_flow(path, template=given) as source:
            assert source.num_frames == 6
            np.testing.assert_array_equal(source.read([5, 0, 0]), flow[[5, 0, 0]])


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        (["flow_y_00006.png"], "flow pictures without counterparts: 6 named .* and 5 named flow_y"),
        ([f"flow_y_{step:05d}.png" for step in range(1, 7)], "flow_x.* shows one direction .* the other are missing"),
        (["flow_x_00003.png"], "1 frame is missing, first flow_x_00003.png"),
    ],
)
def test_rejects_incomplete_flow(tmp_path: Path, removed: list[str], message: str) -> None:
    write_flow(tmp_path, "flow_{}_{:05d}.png")
    for name in removed:
        (tmp_path / name).unlink()
    with pytest.raises(DataError, match=message):
        open_flow(tmp_path)


@pytest.mark.parametrize(
    ("x", "y", "clip"),
    [
        ("flow_u_{:05d}.png", "flow_v_{:05d}.png", "."),
        ("x_{:d}.png", "y_{:d}.png", "."),
        ("img_00007_dx_{:04d}.png", "img_00007_dy_{:04d}.png", "."),
        ("flowX{:03d}.png", "flowY{:03d}.png", "."),
        ("{:05d}_horizontal.png", "{:05d}_vertical.png", "."),
        ("x/{:05d}.png", "y/{:05d}.png", "."),
        ("flow_u/frame{:06d}.png", "flow_v/frame{:06d}.png", "."),
        ("u/clip/frame{:06d}.png", "v/clip/frame{:06d}.png", "clip"),
        ("u/clip/frame{:06d}.png", "v/clip/frame{:06d}.png", "u/clip"),
        ("flow_x/run/clip/{:d}.png", "flow_y/run/clip/{:d}.png", "run/clip"),
        ("flow_x/run/clip/{:d}.png", "flow_y/run/clip/{:d}.png", "flow_y/run/clip"),
    ],
)
def test_tells_directions_apart(tmp_path: Path, x: str, y: str, clip: str) -> None:
    for template, level in ((x, 40), (y, 200)):
        (tmp_path / template).parent.mkdir(parents=True, exist_ok=True)
        for step in range(120, 124):
            Image.new("L", (8, 8), level).save(tmp_path / template.format(step))
    with open_flow(tmp_path / clip) as source:
        assert source.num_frames == 4
        assert source.read([3])[0, 0, 0].tolist() == [40, 200]
    with pytest.raises(DataError):
        open_clip(tmp_path / clip)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["flow_u_{:05d}.png"], "flow_u_.* shows one direction"),
        (["flow_{:05d}.png"], "are gray, so they show one direction only"),
        (["a_x_{:d}.png", "a_y_{:d}.png", "b_x_{:d}.png", "b_y_{:d}.png"], "several series of flow"),
        (["flower_{:05d}.png"], "holds no flow pictures"),
        (["mask_x_{:05d}.png", "mask_y_{:05d}.png"], "holds no flow pictures"),
    ],
)
def test_rejects_one_direction_and_other_pictures(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        for step in range(1, 4):
            Image.new("L", (8, 8), 128).save(tmp_path / name.format(step))
    with pytest.raises(DataError, match=message):
        open_flow(tmp_path)


def test_rejects_folders_without_flow(tmp_path: Path) -> None:
    write_flow(tmp_path / "flow", "flow_{}_{:05d}.png")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "flow/flow_y_00002.png")
    with pytest.raises(DataError, match="x and y differ in size"), open_flow(tmp_path / "flow") as source:
        source.read([1])
    with pytest.raises(DataError, match="does not fit folder 'flow'"):
        open_flow(tmp_path / "flow", template="{:06d}-{}_{:05d}.png")
    (tmp_path / "frames").mkdir()
    Image.fromarray(texture(8)).save(tmp_path / "frames/img_00001.jpg")
    with pytest.raises(DataError, match=r"holds no flow pictures.*prepare flow"):
        open_flow(tmp_path / "frames")


def test_rejects_single_frames_and_tiny_videos(tmp_path: Path) -> None:
    encode(tmp_path / "one.mp4", "libx264", num_frames=1)
    with pytest.raises(DataError, match="a single frame"):
        open_flow(tmp_path / "one.mp4")
    with pytest.raises(DataError, match="8 x 8 pixels are too small"):
        list(flow_pictures([texture(8)] * 2, Path("clip")))


def test_missing_opencv_contrib_is_named() -> None:
    if hasattr(cv2, "optflow"):
        pytest.skip("OpenCV has its contrib modules")
    with pytest.raises(FrameworkError, match="opencv-contrib"):
        list(flow_pictures([texture()] * 2, Path("clip"), "tvl1"))


@pytest.fixture(scope="module")
def gestures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    make_gestures(folder, train=18, val=18, size=48, workers=2)
    return folder


@pytest.fixture(scope="module")
def extracted(gestures: Path) -> Path:
    (gestures / "val_and_broken.txt").write_text((gestures / "val.txt").read_text() + "val/broken.mp4 9 0\n")
    (gestures / "val/broken.mp4").write_bytes(b"nonsense")
    lists = [str(gestures / name) for name in ("train.txt", "val_and_broken.txt")]
    with pytest.raises(SystemExit) as stop:
        main(["prepare", "flow", *lists, "--output", str(gestures / "flow"), "--workers", "2"])
    assert not stop.value.code
    return gestures / "flow"


def test_extracted_flow_equals_computed_flow(gestures: Path, extracted: Path) -> None:
    clips, flows = read_list(gestures / "train.txt"), read_list(extracted / "train.txt")
    for clip, flow in zip(clips[::6], flows[::6], strict=True):
        assert flow.path == extracted / "train" / clip.path.stem
        assert (flow.labels, flow.num_frames) == (clip.labels, (clip.num_frames or 0) - 1)
        with VideoFlow(clip.path) as computed, FlowFolder(flow.path) as files:
            steps = range(computed.num_frames)
            difference = computed.read(steps).astype(int) - files.read(steps)
            assert abs(difference).mean() < 1  # JPEG
            assert computed.read(steps).std() > 1


def test_extraction_reports_unreadable_videos(extracted: Path) -> None:
    assert len(read_list(extracted / "val_and_broken.txt")) == 18
    report = json.loads((extracted / "report.json").read_text())
    assert len(report["broken"]) == 1
    assert "broken.mp4" in str(report["broken"])
    assert not list(extracted.rglob(".unfinished-*"))


def test_extraction_resumes(gestures: Path, extracted: Path, tmp_path: Path) -> None:
    shutil.copytree(extracted, tmp_path / "flow")
    clips = sorted((tmp_path / "flow/train").iterdir())
    shutil.rmtree(clips[0])
    kept = (clips[1] / "flow_x_00001.jpg").stat().st_mtime_ns
    prepare_flow([gestures / "train.txt"], tmp_path / "flow")  # the same list again: fine
    assert (clips[1] / "flow_x_00001.jpg").stat().st_mtime_ns == kept
    assert FlowFolder(clips[0]).num_frames == FlowFolder(extracted / "train" / clips[0].name).num_frames


def test_other_lists_stay_unless_forced(gestures: Path, extracted: Path, tmp_path: Path) -> None:
    shutil.copytree(extracted, tmp_path / "flow")
    whole = (gestures / "train.txt").read_text()
    (tmp_path / "train.txt").write_text("".join(whole.splitlines(keepends=True)[:3]))
    before = (tmp_path / "flow/train.txt").read_bytes()
    with pytest.raises(DataError, match=r"train\.txt: exists and differs; .* --force"):
        prepare_flow([tmp_path / "train.txt"], tmp_path / "flow", clips=gestures)
    assert (tmp_path / "flow/train.txt").read_bytes() == before
    prepare_flow([tmp_path / "train.txt"], tmp_path / "flow", clips=gestures, options=FlowOptions(force=True))
    assert len(read_list(tmp_path / "flow/train.txt")) == 3


def test_extraction_can_write_color_pictures(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    for number in range(3):
        Image.fromarray(np.roll(texture(), 2 * number, axis=1)).save(tmp_path / f"clip/img_{number + 1:05d}.png")
    (tmp_path / "list.txt").write_text("clip 3 0\n")
    options = FlowOptions(template="{:06d}.jpg", short_side=32)
    prepare_flow([tmp_path / "list.txt"], tmp_path / "out", options=options)
    with open_flow(tmp_path / "out/clip", template="{:06d}.jpg") as source:
        flow = source.read([0, 1])
    assert flow.shape == (2, 32, 32, 2)
    assert abs(np.median(flow[..., 0]) - (127.5 + 6.375)) <= 2  # 2 pixels of 64 are 1 of 32


def test_rejects_clips_with_the_same_output_folder(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("clip.mp4 3 0\nclip.avi 3 0\n")
    with pytest.raises(DataError, match=r"list.txt:2: .*clip.avi and .*clip.mp4 would share"):
        prepare_flow([tmp_path / "list.txt"], tmp_path / "out")


def dataset(records: list[VideoRecord], model: ModelSpec, protocol: Protocol | None = None) -> ClipDataset:
    modality: Modality = "flow" if model.in_channels == 10 else "rgbdiff"
    spec = replace(default_input("resnet10", modality), resize=32, crop=32)
    labels = [str(i) for i in range(9)]
    if protocol is not None:
        return EvaluationSet(records, labels, ClipReader(spec, model), protocol)
    return TrainingSet(records, labels, ClipReader(spec, model), DataSpec(augmentation=AugmentationSpec(flip="none")))


@pytest.mark.parametrize("model", [FLOW, DIFFERENCES], ids=["flow", "differences"])
def test_motion_samples_match_model_channels(gestures: Path, model: ModelSpec) -> None:
    records = read_list(gestures / "train.txt")
    assert dataset(records, model).load(0, epoch=1).clips.shape == (1, 4, model.in_channels, 32, 32)
    for name in PROTOCOLS.keys() - {"m4"}:  # which takes single frames
        data = dataset(records[:1], model, PROTOCOLS[name])
        assert data.load(0).clips.shape == data.clip_shape
    assert data.misses() == []


def test_equal_frames_have_zero_difference(tmp_path: Path) -> None:
    for number in range(8):
        Image.fromarray(texture()).save(tmp_path / f"img_{number:05d}.png")
    sample = dataset([VideoRecord(tmp_path, (0,), 8, 1)], DIFFERENCES, Protocol()).load(0)
    assert sample.valid
    assert not sample.clips.any()


def test_flow_stem_averages_the_rgb_stem() -> None:
    stem = np.random.default_rng(0).normal(size=(8, 3, 7, 7)).astype(np.float32)
    tensors = {"backbone.conv1.weight": stem}
    assert adapt_stem(tensors, FLOW)
    adapted = tensors["backbone.conv1.weight"]
    assert adapted.shape == (8, 10, 7, 7)
    for channel in range(10):
        np.testing.assert_allclose(adapted[:, channel], stem.mean(axis=1), rtol=1e-6)
    assert not adapt_stem(tensors, FLOW)
    assert tensors["backbone.conv1.weight"] is adapted


@pytest.mark.parametrize(
    ("modality", "channels", "clips"), [("flow", 10, "flow"), ("flow", 10, "."), ("rgbdiff", 15, ".")]
)
def test_motion_models_train_evaluate_and_predict(
    gestures: Path, extracted: Path, tmp_path: Path, modality: str, channels: int, clips: str
) -> None:
    model = {"shift": None, "in_channels": channels}
    data = {"clips": clips, "train_list": f"{clips}/train.txt"}
    recipe = tmp_path / "recipe.yaml"
    write_recipe(recipe, gestures, model=model, input={"modality": modality}, data=data, train={"batch_size": 9})
    val = f"data.val_list={extracted / 'val_and_broken.txt' if clips == 'flow' else gestures / 'val.txt'}"
    options = ["--config", str(recipe), "--output", str(tmp_path / "run"), val]
    with pytest.raises(SystemExit) as stop:
        main(["train", *options])
    assert not stop.value.code
    trained = trishift.load(tmp_path / "run/best.safetensors")
    assert (trained.input.modality, trained.spec.in_channels) == (modality, channels)
    video = next((gestures / "val").glob("swiping*.mp4"))
    assert sum(p for _, p in trained.predict(video, protocol=PROTOCOLS["ten"]).top(9)) == pytest.approx(1)


def test_rejects_channels_that_do_not_fit_the_modality(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model: {in_channels: 9}\ninput: {modality: flow}\n")
    with pytest.raises(RecipeError, match=r"recipe.yaml:1: model.in_channels: 9 is not a multiple of the 2 channels"):
        load_recipe(recipe)
    recipe.write_text("model: {in_channels: 10}\ninput: {modality: flow, mean: [0.5], std: [0.2]}\n")
    with pytest.raises(RecipeError, match=r"recipe.yaml:2: input: flow needs 2 means"):
        load_recipe(recipe)
