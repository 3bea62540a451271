"""Timelines equal `infer` window by window, and share features without changing logits."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from testing.encoded_clips import NUM_FRAMES, encode

from trishift.backends import open_session
from trishift.backends.session import Session
from trishift.data.opening import unlabeled_set
from trishift.data.protocol import Protocol
from trishift.data.sampling import SamplingSpec
from trishift.errors import DataError, RecipeError
from trishift.evaluation.evaluator import iter_scores
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec
from trishift.streaming.recording import Recording
from trishift.streaming.source import Frame, Source
from trishift.streaming.sources import open_source
from trishift.streaming.timeline import Moment, Timeline, window_lengths

SMALL = {"num_classes": 5, "num_segments": 4, "width": 4}
TSN = ModelSpec("resnet10", **SMALL)
MODELS = {
    "tsn": TSN,
    "tsm": ModelSpec("resnet10", **SMALL, shift=ShiftSpec(4)),
    "online": ModelSpec("resnet10", **SMALL, shift=ShiftSpec(4, "unidirectional")),
    "trn": ModelSpec("resnet10", **SMALL, head=HeadSpec("multiscale_relation", 8, 8, relations="sampled")),
    "stacked": ModelSpec("resnet10", **SMALL, in_channels=15),
    "several labels": ModelSpec("resnet10", **SMALL, multi_label=True),
}
PROTOCOLS = {
    "center": Protocol(),
    "ten": Protocol(crops="ten"),
    "twice": Protocol(SamplingSpec("twice"), "three", full_resolution=True),
    "random": Protocol(SamplingSpec(clips=2, legacy_random_evaluation=True)),
}
PIXELS = InputSpec(resize=36, crop=32)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("timeline") / "video.mp4", "libx264", max_b_frames=2)


def predicted(session: Session, path: Path, protocol: Protocol) -> np.ndarray:
    dataset = unlabeled_set([path], PIXELS, session.spec, protocol)
    [(_, logits)] = iter_scores(session, dataset, batch_size=8, workers=1)
    return logits


def moments(session: Session, path: Path, length: float, hop: float, **options: Protocol) -> list[Moment]:
    return list(Timeline(session, PIXELS, Recording(path), length, hop, **options))


@pytest.mark.parametrize(
    ("model", "protocol"), [*((name, "center") for name in MODELS), *(("tsm", name) for name in PROTOCOLS)]
)
def test_one_window_equals_infer_bit_for_bit(video: Path, model: str, protocol: str) -> None:
    session = open_session("pytorch", MODELS[model])
    [moment] = moments(session, video, 1.6, 0.4, protocol=PROTOCOLS[protocol])
    assert np.array_equal(moment.logits, predicted(session, video, PROTOCOLS[protocol]))
    assert (moment.start, moment.end) == (0, pytest.approx(NUM_FRAMES / 25))
    assert moment.probabilities.sum() == pytest.approx(1) or MODELS[model].multi_label


@pytest.mark.parametrize("model", ["tsn", "tsm", "trn", "stacked"])
def test_every_window_equals_infer_of_its_frames(video: Path, model: str) -> None:
    session = open_session("pytorch", MODELS[model])
    found = moments(session, video, 0.8, 0.12)
    assert len(found) == 8
    for moment in found:
        part = f"{video}#frames={round(25 * moment.start)},{round(25 * moment.end)}"
        expected = predicted(session, Path(part), Protocol())
        np.testing.assert_allclose(moment.logits, expected, rtol=1e-5, atol=1e-5)


def test_features_are_shared_only_where_it_is_exact(video: Path) -> None:
    computed = {}
    for name, spec in MODELS.items():
        timeline = Timeline(open_session("pytorch", spec), PIXELS, Recording(video), 0.8, 0.12)
        list(timeline)
        computed[name] = timeline.computed
        assert timeline.computed <= timeline.used
    assert computed["tsm"] == computed["online"] == 0
    assert 0 < computed["tsn"] == computed["trn"] < 8 * 4


@pytest.mark.parametrize("part", ["", "#t=0.2,1.3"])
def test_a_resumed_timeline_has_the_same_windows(video: Path, part: str) -> None:
    timeline = Timeline(open_session("pytorch", MODELS["tsm"]), PIXELS, Recording(Path(f"{video}{part}")), 0.5, 0.14)
    whole = list(timeline)
    assert whole[-1].end - whole[-1].start == pytest.approx(0.5)
    for start in range(0, len(whole) + 1, timeline.batch_size):
        rest = list(timeline.moments(start))
        assert [(each.index, each.start, each.end) for each in rest] == [
            (each.index, each.start, each.end) for each in whole[start:]
        ]
        assert all(np.array_equal(one.logits, other.logits) for one, other in zip(whole[start:], rest, strict=True))


def test_features_of_a_resumed_timeline_are_the_same_up_to_rounding(video: Path) -> None:
    timeline = Timeline(open_session("pytorch", TSN), PIXELS, Recording(video), 0.8, 0.12, batch_size=2)
    whole, rest = list(timeline), list(timeline.moments(start=4))
    assert [moment.index for moment in rest] == [4, 5, 6, 7]
    for one, other in zip(whole[4:], rest, strict=True):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-6)


def test_frames_are_freed_without_the_garbage_collector(video: Path) -> None:
    session = open_session("pytorch", TSN)
    gc.collect()
    gc.disable()
    try:
        moments(session, video, 0.8, 0.12)
        kept = sum(type(each) is VideoFrame for each in gc.get_objects())
    finally:
        gc.enable()
    assert kept <= 2  # of the 40 frames: one whose side data was read, and the decoder's last one


def test_parts_keep_the_times_of_their_video(video: Path) -> None:
    part = Path(f"{video}#t=0.4,1.2")
    session = open_session("pytorch", TSN)
    [moment] = moments(session, part, 2, 1)
    assert (moment.start, moment.end) == pytest.approx((0.4, 1.2))
    assert np.array_equal(moment.logits, predicted(session, part, Protocol()))


def test_variable_rate_and_gaps_go_by_time_stamps(tmp_path: Path) -> None:
    stamps = [*range(0, 1000, 50), *range(9000, 11000, 100)]
    path = encode(tmp_path / "gap.mkv", "libx264", stamps=stamps, num_frames=40)
    timeline = Timeline(open_session("pytorch", TSN), PIXELS, Recording(path), 1.0, 0.5)
    starts = [moment.start for moment in timeline]
    assert starts == pytest.approx([0, 0.5, 8.5, 9, 9.5, 10])
    [note] = timeline.notes()
    assert "15 windows have no frames (a gap" in note
    assert [moment.start for moment in timeline.moments(18, 15)] == pytest.approx([9, 9.5, 10])
    assert timeline.notes() == [note]


def test_a_missing_end_is_noted(tmp_path: Path) -> None:
    path = encode(tmp_path / "whole.mp4", "libx264", num_frames=400, container_options={"movflags": "faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    timeline = Timeline(open_session("pytorch", TSN), PIXELS, Recording(cut), 1.0, 0.5)
    assert len(list(timeline)) > 3
    assert any("damaged or truncated" in note for note in timeline.notes())


class Live(Source):
    name, live = "live", True

    def frames(self) -> Iterator[Frame]:
        rng = np.random.default_rng(0)
        yield from (Frame(rng.integers(0, 255, (40, 40, 3), np.uint8), n, n / 25) for n in range(60))


def test_live_sources_are_classified_window_by_window() -> None:
    found = list(Timeline(open_session("pytorch", TSN), PIXELS, Live(), 0.8, 0.4))
    assert [moment.start for moment in found] == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])


def test_window_of_the_checkpoint_and_the_assumed_one() -> None:
    assert window_lengths({"window": 2.0}, None, None) == (2.0, 0.5, [])
    assert window_lengths({"window": 2.0}, 4, 0.5) == (4, 0.5, [])
    length, hop, [note] = window_lengths({}, None, None)
    assert (length, hop) == (2.5, 0.625) and "--window" in note
    with pytest.raises(RecipeError, match="--hop"):
        window_lengths({"window": 2.0}, None, 3)


def test_flow_needs_a_file() -> None:
    with pytest.raises(DataError, match="optical flow"):
        open_source("rtsp://host/live", flow=True)
