"""Clips as samples: shapes, seeds, targets, unreadable files."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trishift.data import transforms
from trishift.data.augmentation.rectangles import ErasingSpec
from trishift.data.balance import BalanceSpec
from trishift.data.clip_reader import ClipReader
from trishift.data.dataset import ClipDataset, DataSpec, EvaluationSet, TrainingSet
from trishift.data.gestures import CLASSES
from trishift.data.lists import VideoRecord, read_list
from trishift.data.opening import unlabeled_set
from trishift.data.protocol import PROTOCOLS, Protocol, named_protocol
from trishift.data.sampling import SamplingSpec, uniform_eval
from trishift.data.sources import open_clip
from trishift.errors import DataError, RecipeError
from trishift.model.motion import MotionSpec
from trishift.model.spec import InputSpec, ModelSpec

MODEL = ModelSpec(backbone="resnet10", num_classes=9, num_segments=4, width=8)
INPUT = InputSpec(resize=32, crop=24)
NO_FLIP = transforms.AugmentationSpec(flip="none")


@pytest.fixture(scope="module")
def records(gestures: Path) -> list[VideoRecord]:
    return read_list(gestures / "train.txt")


def dataset(
    records: list[VideoRecord], protocol: Protocol | None = None, model: ModelSpec = MODEL, **data: object
) -> ClipDataset:
    spec = DataSpec(**{"augmentation": NO_FLIP, **data})
    reader = ClipReader(INPUT, model, cache=spec.cache)
    if protocol is None:
        return TrainingSet(records, CLASSES, reader, spec)
    return EvaluationSet(records, CLASSES, reader, protocol)


def broken(records: list[VideoRecord], tmp_path: Path, *places: int) -> list[VideoRecord]:
    """The records with files of nonsense in some places."""
    (tmp_path / "broken.mp4").write_bytes(b"nonsense")
    return [replace(r, path=tmp_path / "broken.mp4") if i in places else r for i, r in enumerate(records)]


def test_training_view_depends_on_epoch_and_index(records: list[VideoRecord]) -> None:
    first, again = dataset(records), dataset(records)
    sample = first.load(3, epoch=1)
    assert sample.clips.shape == first.clip_shape == (1, 4, 3, 24, 24)
    assert sample.clips.dtype == first.padding.clips.dtype == np.uint8
    assert sample.target == records[3].labels[0]
    again.load(5, epoch=1)
    np.testing.assert_array_equal(sample.clips, again.load(3, epoch=1).clips)
    assert not np.array_equal(sample.clips, first.load(3, epoch=2).clips)


def test_erased_clips_are_normalized_already(records: list[VideoRecord]) -> None:
    pixels, erasing = dataset(records), dataset(records, augmentation=replace(NO_FLIP, erasing=ErasingSpec(1.0)))
    assert pixels.normalization is not None
    assert erasing.normalization is None
    found, expected = erasing.load(3).clips, pixels.normalization(pixels.load(3).clips)
    assert 0 < np.mean(found != expected) < 0.5
    assert not found[found != expected].any()


@pytest.mark.parametrize("protocol", [Protocol(), *PROTOCOLS.values()], ids=str)
def test_evaluation_sample_has_all_views(records: list[VideoRecord], protocol: Protocol) -> None:
    data = dataset(records, protocol)
    clips = data.load(0).clips
    side = 32 if protocol.full_resolution else 24
    assert clips.shape == data.clip_shape == (protocol.num_views, 4, 3, side, side)


def test_views_are_the_crops_of_each_clip(records: list[VideoRecord]) -> None:
    protocol = Protocol(SamplingSpec("twice"), "five")
    views = dataset(records, protocol).load(0).clips.reshape(5, 2, 4, 3, 24, 24)
    with open_clip(records[0].path) as source:
        frames = source.read(uniform_eval(source.num_frames, 4)[0])
    np.testing.assert_array_equal(views[:, 0], transforms.evaluation_views(frames, INPUT, "five"))


WINDOWS = ModelSpec("resnet50", 9, 4, in_channels=15, width=8, motion=MotionSpec(window=None))


def test_msn_segments_are_five_consecutive_frames(records: list[VideoRecord]) -> None:
    clip = dataset(records, Protocol(), WINDOWS).load(0).clips
    with open_clip(records[0].path) as source:
        frames = source.read(uniform_eval(source.num_frames, 4, length=5)[0])
    expected = transforms.evaluation_views(frames, INPUT).reshape(1, 4, 5, 3, 24, 24)
    np.testing.assert_array_equal(clip.reshape(expected.shape), expected)
    assert dataset(records, None, WINDOWS).load(0).clips.shape == (1, 4, 15, 24, 24)


def test_thirty_views_are_seeded_draws_of_ten_clips(records: list[VideoRecord]) -> None:
    views = dataset(records, named_protocol("thirty"), WINDOWS).load(0).clips
    again = dataset(records, named_protocol("thirty"), WINDOWS).load(0).clips
    np.testing.assert_array_equal(views, again)
    assert views.shape == (30, 4, 15, 32, 32)
    clips = views.reshape(3, 10, -1)
    assert len({clip.tobytes() for clip in clips[0]}) > 5


def test_cache_does_not_change_samples(records: list[VideoRecord]) -> None:
    plain, cached = dataset(records), dataset(records, cache=True)
    for epoch in range(2):
        np.testing.assert_array_equal(plain.load(2, epoch).clips, cached.load(2, epoch).clips)
    np.testing.assert_array_equal(
        dataset(records, Protocol()).load(2).clips, dataset(records, Protocol(), cache=True).load(2).clips
    )


def test_extracted_frames_match_the_video(records: list[VideoRecord], tmp_path: Path) -> None:
    with open_clip(records[0].path) as source:
        for number, frame in enumerate(source.read(range(source.num_frames)), 1):
            Image.fromarray(frame).save(tmp_path / f"frame_{number:04d}.png")
    extracted = [replace(records[0], path=tmp_path)]
    for protocol in (None, Protocol()):
        video, frames = dataset(records, protocol), dataset(extracted, protocol, template="frame_{:04d}.png")
        np.testing.assert_array_equal(video.load(0, 1).clips, frames.load(0, 1).clips)


def test_flipped_clips_get_the_mirrored_label(records: list[VideoRecord]) -> None:
    index = next(i for i, r in enumerate(records) if CLASSES[r.labels[0]] == "Swiping Left")
    plain = dataset(records)
    swapping = dataset(records, augmentation=transforms.AugmentationSpec(flip="swap_labels"))
    seen = set()
    for epoch in range(12):
        sample, original = swapping.load(index, epoch), plain.load(index, epoch).clips
        flipped = CLASSES[int(sample.target)] == "Swiping Right"
        np.testing.assert_array_equal(sample.clips, original[..., ::-1] if flipped else original)
        seen.add(CLASSES[int(sample.target)])
    assert seen == {"Swiping Left", "Swiping Right"}


def test_reversed_clips_get_the_reversed_label(records: list[VideoRecord]) -> None:
    names = ("Swiping Left", "Swiping Right", "Waving", "Pushing")  # the last has a direction, but no opposite here
    labeled = [replace(records[0], labels=(label,)) for label in range(4)]
    reader = ClipReader(INPUT, replace(MODEL, num_classes=4), cache=True)
    forward, backward = (
        TrainingSet(labeled, names, reader, DataSpec(augmentation=replace(NO_FLIP, scales=(1.0,), reverse=reverse)))
        for reverse in ("none", "swap_labels")
    )
    found = set()
    for label in range(4):
        for epoch in range(8):
            sample, plain = backward.load(label, epoch), forward.load(label, epoch).clips
            turned = not np.array_equal(sample.clips, plain)
            np.testing.assert_array_equal(sample.clips, plain[:, ::-1] if turned else plain)
            found.add((label, turned, int(sample.target)))
    assert found == {(label, False, label) for label in range(4)} | {(0, True, 1), (1, True, 0), (2, True, 2)}


@pytest.mark.parametrize("cache", [False, True])
def test_jitter_moves_parts_within_their_video(cache: bool, tmp_path: Path) -> None:
    for number in range(16):
        Image.new("RGB", (24, 24), (number, 0, 0)).save(tmp_path / f"{number}.png")
    reader = ClipReader(INPUT, MODEL, cache=cache)

    def starts(path: str, jitter: float) -> set[int]:
        found = set()
        for seed in range(40):
            draws = np.random.default_rng(seed)
            frames = reader.read(Path(path), lambda _, count, **__: np.arange(count), SamplingSpec(), draws, jitter)
            numbers = frames[:, 0, 0, 0].tolist()
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            found.add(numbers[0])
        return found

    assert starts(f"{tmp_path}#frames=2,12", 0.3) == {0, 1, 2, 3, 4, 5}  # not before the first frame
    assert starts(f"{tmp_path}#frames=2,12", 0) == {2}
    assert starts(str(tmp_path), 0.3) == {0}


def test_a_repeated_clip_gets_another_view(records: list[VideoRecord]) -> None:
    data = dataset(records, balance=BalanceSpec("class"))
    views = [data.load(3, 1, use).clips for use in (0, 1, 2, 1)]
    np.testing.assert_array_equal(views[0], dataset(records).load(3, 1).clips)
    np.testing.assert_array_equal(views[1], views[3])
    assert len({view.tobytes() for view in views}) == 3
    drawn = data.draw_order(np.random.default_rng(0))
    assert len(drawn) == len(records) and not np.array_equal(
        drawn, dataset(records).draw_order(np.random.default_rng(0))
    )


def test_multiple_labels_become_multi_hot(records: list[VideoRecord]) -> None:
    both = [replace(records[0], labels=(1, 4)), *records[1:-1], replace(records[-1], labels=())]
    data = dataset(both, model=replace(MODEL, multi_label=True))
    assert data.multi_label and data.target(0).tolist() == [0, 1, 0, 0, 1, 0, 0, 0, 0]
    assert data.load(0).target.dtype == np.float32
    assert data.target(1).sum() == 1 and data.padding.target.tolist() == [0] * 9
    assert data.target(len(both) - 1).tolist() == [0] * 9 and data.num_unlabeled == 1
    assert data.class_counts().sum() == len(both) and not dataset(records).multi_label


def test_unreadable_training_clip_stops_the_run(records: list[VideoRecord], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"broken\.mp4.*on_error=skip"):
        dataset(broken(records, tmp_path, 2)).load(2)


def test_unreadable_training_clip_can_be_replaced(records: list[VideoRecord], tmp_path: Path) -> None:
    data = dataset(broken(records, tmp_path, 2, 3), on_error="skip")
    sample = data.load(2)
    assert sample.valid and sample.clips.any()
    name, _ = data.misses()[0]
    assert name == str(tmp_path / "broken.mp4")
    np.testing.assert_array_equal(sample.clips, data.load(2).clips)
    np.testing.assert_array_equal(data.load(4).clips, dataset(records).load(4).clips)


def test_no_readable_clip_stops_the_run(records: list[VideoRecord], tmp_path: Path) -> None:
    data = dataset(broken(records, tmp_path, *range(len(records))), on_error="skip")
    with pytest.raises(DataError, match="20 consecutive clips cannot be read"):
        data.load(0)


def test_evaluation_never_replaces_clips(records: list[VideoRecord], tmp_path: Path) -> None:
    data = dataset(broken(records, tmp_path, 2), Protocol())
    sample = data.load(2)
    assert not sample.valid and not sample.clips.any()
    assert sample.clips.shape == data.clip_shape and sample.target == records[2].labels[0]
    [(name, reason)] = data.misses()
    assert name == str(tmp_path / "broken.mp4") and name in reason


def test_copies_for_other_processes_report_their_misses(records: list[VideoRecord], tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    broken = replace(records[0], path=tmp_path / "broken.mp4")
    data = TrainingSet([*records[1:9], broken], CLASSES, ClipReader(INPUT, MODEL), DataSpec(on_error="skip"), seed=1)
    copy = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(copy.load(8, 3).clips, data.load(8, 3).clips)
    misses = copy.take_misses()
    assert list(misses.items()) == data.numbered_misses() and [*misses] == [8] and not copy.take_misses()
    data.add_misses({2: "gone"})
    assert [index for index, _ in data.numbered_misses()] == [2, 8]


def test_unlabeled_clips_have_no_targets(records: list[VideoRecord]) -> None:
    data = unlabeled_set([records[0].path], INPUT, MODEL, Protocol())
    assert data.labels == () and data.target(0) == -1
    several = unlabeled_set([records[0].path], INPUT, replace(MODEL, multi_label=True), Protocol())
    assert several.load(0).target.shape == several.padding.target.shape == (0,)
    np.testing.assert_array_equal(data.load(0).clips, dataset(records, Protocol()).load(0).clips)


def test_named_protocols_describe_themselves() -> None:
    assert str(named_protocol("dense")) == "10 dense clips x 3 crops, full resolution"
    assert named_protocol("twice").num_views == 6
    with pytest.raises(RecipeError, match="center"):
        named_protocol("middle")
