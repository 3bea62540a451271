"""Annotations as label tools and public data sets write them, whole and damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testing.annotations import (
    ACTIVITYNET,
    BORIS,
    CHARADES,
    CVAT,
    CVAT_IMAGES,
    ELAN,
    EPIC,
    JSON_MIN,
    LABEL_STUDIO,
    LABEL_STUDIO_CSV,
    VIA,
    VIA_CSV,
    VIA_CSV_3_0_1,
)

from trishift.data.annotations import Annotations, read_annotations
from trishift.errors import DataError

Found = list[tuple[str, str, str]]

LABEL_STUDIO_FOUND = [
    ("/data/upload/1/0a1b2c3d-day1.mp4", "#frames=0,30", "walk"),
    ("/data/upload/1/0a1b2c3d-day1.mp4", "#frames=30,40", "run"),
    ("/data/upload/1/0a1b2c3d-day1.mp4", "#frames=60,90", "run"),
    ("/data/upload/1/0a1b2c3d-day1.mp4", "#t=0.5,1.25", "clap"),
]
JSON_MIN_FOUND = [LABEL_STUDIO_FOUND[0], LABEL_STUDIO_FOUND[3]]
CVAT_FOUND = [("yard.mp4", "#frames=10,30", "person"), ("yard.mp4", "#frames=40,42", "person")]
VIA_FOUND = [("soup.mp4", "#t=2,6.5", "cut"), ("soup.mp4", "#t=7,8", "stir")]
ELAN_SIGNS = [("./day 1.mp4", "#t=1.5,2.5", "hello"), ("./day 1.mp4", "#t=2.5,3.5", "thanks")]
ELAN_PHASES = [("./day 1.mp4", "#t=2.5,3", "rise"), ("./day 1.mp4", "#t=3,3.5", "fall")]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Annotations]:
    def read(name: str, content: Any, *tiers: str) -> Annotations:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_annotations([tmp_path / name], tiers=tiers)

    return read


def plain(annotations: Annotations) -> Found:
    return [(each.video, str(each.part), each.label) for each in annotations.found]


@pytest.mark.parametrize(
    ("name", "content", "tiers", "expected"),
    [
        ("project.json", LABEL_STUDIO, (), LABEL_STUDIO_FOUND),
        ("min.json", JSON_MIN, (), JSON_MIN_FOUND),
        ("project.csv", LABEL_STUDIO_CSV, (), JSON_MIN_FOUND[:1]),
        ("annotations.xml", CVAT, (), CVAT_FOUND),
        (
            "annotations.xml",
            CVAT,
            ("move", "alone"),
            [
                ("yard.mp4", "#frames=10,20", "alone"),
                ("yard.mp4", "#frames=10,20", "walk"),
                ("yard.mp4", "#frames=20,30", "run"),
                ("yard.mp4", "#frames=40,42", "walk"),
            ],
        ),
        (
            "images.xml",
            CVAT_IMAGES,
            (),
            [("yard.mp4", "#frames=4,6", "walk"), ("yard.mp4", "#frames=7,8", "walk")],
        ),
        ("via.json", VIA, ("step",), VIA_FOUND),
        ("via.json", VIA, ("note",), [("soup.mp4", "#t=7,8", "slowly")]),
        ("via.csv", VIA_CSV, ("step",), VIA_FOUND),
        ("older.csv", VIA_CSV_3_0_1, (), VIA_FOUND[:1]),
        ("day.eaf", ELAN, ("signs",), ELAN_SIGNS),
        ("day.eaf", ELAN, ("phases",), ELAN_PHASES),
        ("day.eaf", ELAN, ("signs", "phases"), ELAN_SIGNS + ELAN_PHASES),
        ("activity_net.v1-3.min.json", ACTIVITYNET, (), [("abc", "#t=6.4,80.25", "Drinking coffee")]),
        ("BaseballPitch_val.txt", "video_validation_0000266  72.8 76.4\n", (),
         [("video_validation_0000266", "#t=72.8,76.4", "BaseballPitch")]),
        ("Charades_v1_train.csv", CHARADES, (), [("YSKX3", "#t=11.9,21.2", "c092"), ("YSKX3", "#t=0,12.6", "c147")]),
        ("EPIC_100_train.csv", EPIC, (), [("P01_01", "#t=0.14,3.37", "open"), ("P01_01", "#t=64.37,66.17", "turn-on")]),
        ("EPIC_100_train.csv", EPIC, ("action",),
         [("P01_01", "#t=0.14,3.37", "open door"), ("P01_01", "#t=64.37,66.17", "turn-on light")]),
        ("boris.csv", BORIS, (), [("/home/me/cage.mp4", "#t=1.5,4", "groom")]),
        ("boris.tsv", BORIS.replace(",", "\t"), (), [("/home/me/cage.mp4", "#t=1.5,4", "groom")]),
        ("mine.csv", "Video;From;To;Action\na.mp4;1:02;0:01:03.5;jump;\n".replace("jump;", "jump"), (),
         [("a.mp4", "#t=62,63.5", "jump")]),
        ("mine.tsv", "label\tstart_frame\tend_frame\tfile\njump;spin\t3\t9\ta.mp4\n", (),
         [("a.mp4", "#frames=3,9", "jump"), ("a.mp4", "#frames=3,9", "spin")]),
    ],
)  # fmt: skip
def test_format_is_detected_and_read(
    read: Callable[..., Annotations], name: str, content: Any, tiers: tuple[str, ...], expected: Found
) -> None:
    assert plain(read(name, content, *tiers)) == expected


def broken(content: Any, *path: Any, value: Any = None) -> Any:
    """A copy of some JSON with one entry replaced, or removed if there is no value."""
    copy = json.loads(json.dumps(content))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copy


RESULT = (0, "annotations", 0, "result", 0, "value")


@pytest.mark.parametrize(
    ("name", "content", "reason", "places"),
    [
        ("p.json", LABEL_STUDIO, "Label Studio annotations of tasks with a later one", ["task 7"]),
        ("p.json", LABEL_STUDIO, "Label Studio results without times, such as choices and boxes", ["task 7, result k"]),
        ("a.xml", CVAT, "labels that the CVAT task does not have", ["track 1 (dog)"]),
        ("i.xml", CVAT_IMAGES, "CVAT shapes of single frames", ["image 6"]),
        ("b.csv", BORIS, "BORIS point events, which have no length", ["3"]),
        ("t.csv", "video,start,end,label\na,2.5,1,x\n", "annotations that end before they begin", ["2 (x, 2.5 to 1)"]),
        ("t.csv", "video,start,end,label\na,2.5,2.5,x\n", "annotations of zero length", ["2 (x, 2.5 to 2.5)"]),
        ("t.csv", "video,start,end,label\na,2.5,3,\n", "annotations without a label", ["2 (no label, 2.5 to 3)"]),
        ("t.csv", "video,start,end,label\n,2.5,3,x\n", "annotations without a video", ["2 (x, 2.5 to 3)"]),
        ("t.csv", "video,start,end,label\na,,,x\n", "lines without times", ["2"]),
        ("t.csv", "video,start,end,label\na,0.5,3,x\na,0.50,3.0,x\n", "annotations that repeat another", ["3 (as "]),
        ("p.json", broken(LABEL_STUDIO, *RESULT, "ranges", 0, "end", value=float("nan")),
         "annotations at impossible times", ["task 7, result k1 (walk, 0 to nan)"]),
        ("A_val.txt", "v -1 3\n", "annotations that begin before their video", ["1 (A, -1 to 3)"]),
    ],
)  # fmt: skip
def test_what_is_skipped_is_named(
    read: Callable[..., Annotations], name: str, content: Any, reason: str, places: list[str]
) -> None:
    skipped = read(name, content).skipped[reason]
    assert len(skipped) == len(places)
    assert all(f"{name}:" in found and place in found for found, place in zip(skipped, places, strict=True))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.json", [{"id": 1, "completions": []}], "task 1: 'completions' are of Label Studio before 1.0; export"),
        ("p.json", broken(LABEL_STUDIO, *RESULT, "ranges", 0, "end"), r"task 7, result k1: not as Label Studio writes"),
        ("p.json", broken(LABEL_STUDIO, *RESULT, "timelinelabels", value=[{}]), "k1: .* label or tier is no text"),
        ("p.json", broken(LABEL_STUDIO, *RESULT, "ranges", 0, "end", value=10**400), "k1: not as Label Studio writes"),
        ("p.json", json.dumps(LABEL_STUDIO)[:200], "is not valid JSON .*; export the annotations again"),
        ("p.json", '{"images": []}', "its format is not recognized; export one of label-studio, cvat, "),
        ("p.json", "[" * 100_000, "is not valid JSON"),
        ("a.xml", CVAT.replace("1.1", "1.0", 1), "CVAT XML version 1.0; export 'CVAT for video 1.1'"),
        ("a.xml", CVAT.replace("<source>yard.mp4</source>", ""), "names no video in <source>; it is a task of"),
        ("a.xml", CVAT.replace('frame="20"', 'frame="x"'), "track 0: not as CVAT writes it"),
        ("a.xml", CVAT[:400], r"a.xml:\d+: is not valid XML .*; export the annotations again"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "b">]><annotations/>', "declares XML entities"),
        ("v.json", {"_via_settings": {}, "_via_img_metadata": {}}, "a project of VIA 2, which annotates pictures; use"),
        ("v.json", broken(VIA, "view", "1"), "metadata 1_a: not as the VGG Image Annotator writes it"),
        ("v.json", VIA, r"has 2 tiers of labels \(step, note\); choose one with --tier"),
        ("v.csv", VIA_CSV.replace("[2,6.5]", "[2,"), r"v.csv:5: '\[2,' is not JSON"),
        ("d.eaf", ELAN, r"has 2 tiers of labels \(signs, phases\); choose one with --tier"),
        ("d.eaf", ELAN.replace('FORMAT="3.0"', 'FORMAT="1.0"'), "EAF version 1.0; save it as version 3.0 or 2.x"),
        ("d.eaf", ELAN.replace('REF2="ts3"', 'REF2="ts9"'), "annotation a2: there is no time slot ts9"),
        ("d.eaf", ELAN.replace('VALUE="3000"', 'VALUE="3 s"'), "not as ELAN writes it"),
        ("n.json", {"results": {"abc": []}, "version": "1"}, "has no 'database'; it holds results"),
        ("n.json", broken(ACTIVITYNET, "database", "abc", "annotations", 0, "segment", value=[3]),
         "n.json: abc, annotation 1: not as ActivityNet writes it"),
        ("B_val.txt", "video_1 1 2\nvideo_2 1\n", "B_val.txt:2: expected 'video start end', found 'video_2 1'"),
        ("Charades_v1_train.csv", CHARADES.replace("0.00 12.60", "0.00"), "train.csv:2: not as Charades writes it"),
        ("EPIC_100_test.csv", EPIC.replace("verb_class", "x"), "has no verb_class and noun_class; the test set has"),
        ("EPIC_100_train.csv", EPIC.replace("00:00:00.14", "0:0:x"), "train.csv:2: '0:0:x' is not a time"),
        ("b.csv", "Time,Media file path,Behavior,Status\n1,a.mp4,groom,START\n", "several rows; export 'aggregated ev"),
        ("b.csv", BORIS.replace("1.5,4.0", "NA,4.0"), "b.csv:2: not as BORIS writes it"),
        ("t.csv", "video,start,end,label\na.mp4,1.0,2,x,9\n", "t.csv:2: 5 columns instead of 4"),
        ("t.csv", "video,start,end,label\na.mp4,1,2,x\n", "t.csv:2: start, end could be frames or seconds"),
        ("t.csv", "video,start,end,label,label\na.mp4,1,2,x,y\n", "the header has two columns 'label'; rename one"),
        ("t.csv", "", "the file is empty; export the annotations again"),
        ("t.txt", "some text\n", "its format is not recognized"),
    ],
)  # fmt: skip
def test_damaged_and_other_versions_are_refused(
    read: Callable[..., Annotations], name: str, content: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(name, content)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_unknown_tier_is_refused(read: Callable[..., Annotations]) -> None:
    with pytest.raises(DataError, match="--tier sign: no such tier; did you mean 'signs'"):
        read("day.eaf", ELAN, "sign")
    with pytest.raises(DataError, match="--tier x: no such tier; the annotations have none, omit --tier"):
        read("n.json", ACTIVITYNET, "x")


def test_class_tables_name_the_classes(read: Callable[..., Annotations], tmp_path: Path) -> None:
    (tmp_path / "Charades_v1_classes.txt").write_text("c092 Holding a dish\n")
    found = read("Charades_v1_test.csv", CHARADES)
    assert [(each.label, each.split) for each in found.found] == [("Holding a dish", "val")]
    assert found.durations == {"YSKX3": 33.0, "AB123": 20.5}
    assert "(c147)" in found.skipped["classes that Charades_v1_classes.txt does not have"][0]
    (tmp_path / "EPIC_100_verb_classes.csv").write_text("id,key,category,instances\n3,open!,access,\"['open']\"\n")
    found = read("EPIC_100_validation.csv", EPIC, "verb")
    assert [(each.label, each.split) for each in found.found] == [("open!", "val")]
    assert len(found.skipped["classes that the EPIC-KITCHENS tables of classes do not have"]) == 1


def test_splits_of_thumos_follow_its_custom(tmp_path: Path) -> None:
    for name in ("Diving_val.txt", "Diving_test.txt", "Ambiguous_val.txt"):
        (tmp_path / name).write_text(f"video_{name[-8:-4]}_1 1.0 2.5\n")
    (tmp_path / "readme.txt").write_text("About the data.\n")
    found = read_annotations([tmp_path])
    assert [(each.label, each.split) for each in found.found] == [("Diving", "val"), ("Diving", "train")]
    assert [each.label for each in found.excluded] == ["Ambiguous"]
    assert found.skipped == {"files that hold no annotations": [str(tmp_path / "readme.txt")]}


def test_activitynet_without_training_trains_on_validation(read: Callable[..., Annotations]) -> None:
    entries = {
        subset: {"subset": subset, "annotations": [{"segment": [1, 2], "label": "Diving"}]}
        for subset in ("Validation", "Test")
    }
    assert [each.split for each in read("thumos_14.json", {"database": entries}).found] == ["train", "val"]


def test_frames_of_another_rate_become_seconds(read: Callable[..., Annotations], tmp_path: Path) -> None:
    found = read("p.json", LABEL_STUDIO)
    assert found.notes[0].startswith(
        "Label Studio's frames are taken for frames of the videos; where the tag Video has"
    )
    timed = read_annotations([tmp_path / "p.json"], frame_rate=24)
    assert [str(each.part) for each in timed.found] == [
        "#t=0,1.25",
        "#t=1.25,1.666666667",
        "#t=2.5,3.75",
        "#t=0.5,1.25",
    ]
    assert not timed.notes


def test_named_format_is_not_detected(tmp_path: Path) -> None:
    path = tmp_path / "day.xml"
    path.write_text(ELAN)
    with pytest.raises(DataError, match="format 'elna' is unknown; did you mean 'elan'"):
        read_annotations([path], "elna")
    with pytest.raises(DataError, match="CVAT XML version unknown"):
        read_annotations([path], "cvat")
