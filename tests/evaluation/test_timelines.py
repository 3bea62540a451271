"""Metrics of timelines on cases worked out by hand, and the files they come from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from testing.encoded_clips import encode

from trishift.cli import main
from trishift.data.annotations import read_annotations
from trishift.data.parts import Part
from trishift.errors import DataError
from trishift.evaluation.timeline_files import matched, read_predictions, read_truth
from trishift.evaluation.timelines import (
    ACTIVITYNET,
    Span,
    VideoSpans,
    accurate_time,
    average_precision,
    edit_score,
    in_order,
    overlap_counts,
    timeline_metrics,
)
from trishift.reporting.timelines.content import TimelineContent
from trishift.reporting.timelines.files import write_timeline
from trishift.streaming.events import Event, EventRule


def spans(text: str, score: float = 1.0) -> list[Span]:
    """Frames of one second each: `aab-` is `a` from 0 to 2 and `b` from 2 to 3."""
    return in_order(Span(n, n + 1, label, score) for n, label in enumerate(text) if label != "-")


@pytest.mark.parametrize(
    ("predicted", "true", "counts"),  # true positives, false positives, misses at 10, 25 and 50 %
    [
        ("aaaabbbb", "aaaabbbb", [(2, 0, 0)] * 3),
        ("aaaabbbb", "bbbbaaaa", [(0, 2, 2)] * 3),
        ("aabaa---", "aaaaa---", [(1, 2, 0), (1, 2, 0), (0, 3, 1)]),  # IoU of each half 0.4; the second comes too late
        ("aaaa----", "--aaaaaa", [(1, 0, 0), (1, 0, 0), (0, 1, 1)]),  # IoU 2 of 8
        ("aa------", "----aaaa", [(0, 1, 1)] * 3),
        ("--------", "aa-bb---", [(0, 0, 2)] * 3),
        ("aa------", "--------", [(0, 1, 0)] * 3),
    ],
)
def test_segmental_counts(predicted: str, true: str, counts: list[tuple[int, int, int]]) -> None:
    assert [overlap_counts(spans(predicted), spans(true), each) for each in (0.1, 0.25, 0.5)] == counts


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ("aabbcc", "abbbbc", 1.0),  # only the order counts
        ("aabbaacc", "aaaaaacc", 0.5),  # a b a c against a c: two deletions, four segments
        ("abc", "cba", 1 / 3),  # two substitutions
        ("a", "b", 0.0),
        ("-", "ab", 0.0),
        ("-", "-", 1.0),
    ],
)
def test_edit_score(predicted: str, true: str, expected: float) -> None:
    labels = [[span.label for span in spans(text)] for text in (predicted, true)]
    assert edit_score(*labels) == pytest.approx(expected)


def test_f1_is_pooled_and_per_video() -> None:
    true = {"x": VideoSpans(spans("aabb")), "y": VideoSpans(spans("a-------"))}
    found = {"x": VideoSpans(spans("aabb")), "y": VideoSpans(spans("----a-a-"))}
    metrics = timeline_metrics(found, true)
    assert metrics.f1[0.5] == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))  # 2 right, 2 wrong, 1 missed
    assert metrics.f1_per_video[0.5] == pytest.approx((1 + 0) / 2)
    assert metrics.edit == pytest.approx((1 + 0.5) / 2)
    assert metrics.frame_accuracy == pytest.approx((4 + 4) / (4 + 7))  # without lengths, to the last event


def test_background_counts_as_no_label() -> None:
    plain = timeline_metrics({"x": VideoSpans(spans("a--b"))}, {"x": VideoSpans(spans("aa-b"))})
    named = timeline_metrics({"x": VideoSpans(spans("annb"))}, {"x": VideoSpans(spans("aanb"))}, ["n"])
    assert plain == named and plain.frame_accuracy == 0.75


def test_time_with_several_labels_must_match_exactly() -> None:
    true = VideoSpans([Span(0, 4, "a"), Span(2, 6, "b")], duration=10)
    found = VideoSpans([Span(0, 3, "a"), Span(2, 12, "b")])
    assert accurate_time(found, true) == pytest.approx(2 + 1 + 2)  # a; a and b; b; nothing from 6 on is wrong


def test_average_precision_is_interpolated() -> None:
    true = [[Span(0, 10, "a"), Span(20, 30, "a")], [Span(0, 10, "a")]]
    found = [
        [Span(0, 10, "a", 0.9), Span(0, 9, "a", 0.8), Span(20, 26, "a", 0.6)],  # right, repeated, IoU 0.6
        [Span(1, 10, "a", 0.7), Span(50, 60, "a", 0.1)],  # IoU 0.9, nowhere
    ]
    # in order of score at IoU 0.5: right, wrong, right, right, wrong; precision 1, 1/2, 2/3, 3/4, 3/5
    # at 0.7 the fourth is wrong: recall ends at 2/3, and its precision is 2/3
    values = average_precision(found, true, [0.5, 0.7, 0.95])
    assert values == pytest.approx([(1 + 0.75 + 0.75) / 3, (1 + 2 / 3) / 3, 1 / 3])


def test_a_prediction_takes_the_best_free_span() -> None:
    true = [[Span(0, 10, "a"), Span(4, 14, "a")]]
    found = [[Span(1, 11, "a", 0.9), Span(2, 12, "a", 0.8)]]  # both prefer the first or second; each finds one
    assert average_precision(found, true, [0.5]) == pytest.approx([1.0])
    assert average_precision([[]], true, [0.5, 0.9]) == pytest.approx([0, 0])


def test_mean_is_over_classes_of_the_truth() -> None:
    true = {"x": VideoSpans(spans("aabb"))}
    metrics = timeline_metrics({"x": VideoSpans(spans("aaca"))}, true)
    assert metrics.average_precision[0.5] == {"a": 1.0, "b": 0.0}  # the later `a` has the same score, and comes second
    assert metrics.mean_average_precision(ACTIVITYNET) == pytest.approx(0.5)
    assert np.isclose(metrics.f1[0.1], 2 / (2 + 2 + 1))


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


EVENTS = [{"start": 0, "end": 1.5, "class": 0, "label": "clap", "probability": 0.75, "windows": 3}]
TABLE = "video,start,end,class,label,probability\nday/a.mp4,0.000,1.500,0,clap,0.750000\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.json", {"video": "day/a.mp4", "duration": 4.0, "window": 2.5, "events": EVENTS}),
        ("p.json", [{"video": "day/a.mp4", "segments": EVENTS}]),
        ("p.csv", TABLE),
        ("p.json", {"results": {"day/a.mp4": [{"segment": [0, 1.5], "label": "clap", "score": 0.75}]}, "version": "x"}),
    ],
)
def test_predictions_are_read(tmp_path: Path, name: str, content: object) -> None:
    found = read_predictions([write(tmp_path / name, content)])
    assert found.videos["day/a.mp4"].spans == [Span(0, 1.5, "clap", 0.75)]


def test_files_of_timelines_are_read(tmp_path: Path) -> None:
    events = (Event(0.0, 1.5, 0, 0.75, 3, ((0, 0.75),)), Event(2.0, 3.25, 1, 0.5, 2, ((1, 0.5),)))
    rule = EventRule()
    content = TimelineContent("day/a.mp4", ("clap", "wave"), 1.0, 0.5, rule, events, 4.0, 7, lambda: iter(()))
    expected = [Span(0.0, 1.5, "clap", 0.75), Span(2.0, 3.25, "wave", 0.5)]
    for name in ("a.json", "a.csv"):
        write_timeline(content, tmp_path / name)
        assert read_predictions([tmp_path / name]).videos["day/a.mp4"].spans == expected
    write_timeline(content, tmp_path / "a.eaf")
    annotations = read_annotations([tmp_path / "a.eaf"]).found
    assert [(each.part, each.label) for each in annotations] == [
        (Part(0.0, 1.5, seconds=True), "clap"),
        (Part(2.0, 3.25, seconds=True), "wave"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.jsonl", '{"timeline": 1}\n', "holds windows, not events; write the timeline as .json or .csv"),
        ("p.json", {"video": "a.mp4"}, "p.json: a.mp4: is no timeline"),
        ("p.json", {"video": "a.mp4", "events": [{"start": 1}]}, "p.json: a.mp4: is no timeline .KeyError 'end'"),
        (
            "p.json",
            {"video": "a.mp4", "events": [{**EVENTS[0], "end": 0}]},
            "clap from 0 to 0, 0.75; it must have",
        ),
        ("p.json", {"video": "a", "events": [{**EVENTS[0], "probability": float("nan")}]}, "must have a probability"),
        ("p.json", {"video": "a", "events": [{**EVENTS[0], "end": 10**400}]}, "is no timeline .OverflowError"),
        ("p.csv", "video,start\na.mp4,1\n", "needs the columns video, start, end and label"),
        ("p.csv", TABLE.replace("1.500", "x"), "is no timeline .ValueError could not convert"),
    ],
)
def test_bad_predictions_are_refused(tmp_path: Path, name: str, content: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_predictions([write(tmp_path / name, content)])


def test_truth_of_a_list_is_in_seconds(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", "libx264", num_frames=30)  # 25 fps
    write(tmp_path / "labels.txt", "clap\nwave\n")
    write(tmp_path / "val.txt", "a.mp4#frames=5,15 10 0\na.mp4#t=0.8,1.6 10 1\n")
    truth = read_truth(tmp_path / "val.txt")
    [(name, timeline)] = truth.videos.items()
    assert name == "a.mp4" and timeline.duration == pytest.approx(1.2)
    assert [span.label for span in timeline.spans] == ["clap", "wave"]
    assert [(span.start, span.end) for span in timeline.spans] == [pytest.approx((0.2, 0.6)), (0.8, 1.6)]
    (tmp_path / "labels.txt").unlink()
    with pytest.raises(DataError, match=r"no such label file; name the one of val.txt with --labels"):
        read_truth(tmp_path / "val.txt")


def test_truth_in_frames_needs_the_video(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "video,start_frame,end_frame,label\ngone.mp4,1,5,clap\n")
    with pytest.raises(
        DataError, match=r"gone.mp4: annotated in frames, but not in .*; name the videos' folder with --"
    ):
        read_truth(table)
    with pytest.raises(DataError, match="holds no annotations of val to compare with"):
        read_truth(table, split="val")


def test_videos_match_under_other_paths(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "video,start,end,label\nx/a.mp4,0.0,1,clap\nb.mp4,0.0,2,wave\n")
    truth, found = read_truth(table), read_predictions([write(tmp_path / "p.csv", TABLE)])
    assert list(matched(found, truth)) == ["x/a.mp4"]
    assert found.notes == ["1 video without predictions; count as empty (--partial leaves them out): b.mp4"]
    matched(found, truth, partial=True)
    assert list(truth.videos) == ["x/a.mp4"]
    uploads = "video,start,end,label\n/data/upload/1/0a1b2c3d-a.mp4,0.0,1,clap\nv_b,0.0,2,wave\n"
    truth = read_truth(write(tmp_path / "t.csv", uploads))
    found = read_predictions([write(tmp_path / "p.csv", TABLE + "b.webm,1,2,0,wave,0.5\n")])
    assert list(matched(found, truth)) == ["/data/upload/1/0a1b2c3d-a.mp4", "v_b"]
    other = read_predictions([write(tmp_path / "q.csv", TABLE.replace("a.mp4", "c.mp4"))])
    with pytest.raises(
        DataError, match=r"none of 1 predicted video is in the truth \(first day/c.mp4, the truth has /data"
    ):
        matched(other, truth)


def test_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(tmp_path / "t.csv", "video,start,end,label\na.mp4,0.0,1.5,clap\na.mp4,2.0,3,wave\n")
    found, output = write(tmp_path / "p.csv", TABLE + "day/a.mp4,2,3,9,jump,0.9\n"), tmp_path / "r.json"
    with pytest.raises(SystemExit) as status:
        main(["timeline-eval", str(found), "--truth", str(table), "--output", str(output)])
    assert status.value.code == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(
        "F1@10 50.00%, F1@25 50.00%, F1@50 50.00%, edit 50.00%, frame accuracy 66.67%\nmAP 50"
    )
    assert (
        "predicted classes that the truth does not have, all wrong unless named by --background: jump (1)"
        in printed.err
    )
    result = json.loads(output.read_text())
    assert result["f1"]["0.5"] == 0.5 and result["map_thumos"] == 0.5 and result["true_spans"] == 2
    assert result["average_precision"]["0.5"] == {"clap": 1.0, "wave": 0.0}
