"""Something-Something V1 and V2: frame folders, videos, and frames extracted from videos."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from testing.downloads import frame_folders, tar_bytes, write_parts, write_zip
from tests.support.lists import listed

from trishift.data import prepare
from trishift.data.lists import read_labels


def test_something_v1(root: Path, tmp_path: Path) -> None:
    prefix = "something-something-v1"
    (root / f"{prefix}-labels.csv").write_text("Tearing something\nHolding something\n")
    (root / f"{prefix}-train.csv").write_text("1;Holding something\n2;Tearing something\n")
    (root / f"{prefix}-validation.csv").write_text("3;Holding something\n")
    write_parts(root, "bare", tar_bytes(frame_folders(f"20bn-{prefix}", {1: 3, 2: 4, 3: 5})), f"20bn-{prefix}")
    prepare.prepare_somethingv1(root, tmp_path / "out")
    assert read_labels(tmp_path / "out" / "labels.txt") == ("Holding something", "Tearing something")
    assert listed(tmp_path / "out" / "train.txt") == [(f"20bn-{prefix}/1", 3, (0,)), (f"20bn-{prefix}/2", 4, (1,))]


@pytest.fixture
def something_v2(root: Path, video: Path) -> Path:
    """Its labels are not in sorted order."""
    files = {
        "labels.json": {"Tearing something": "0", "Holding something next to something": "1"},
        "train.json": [
            {"id": "1", "label": "holding a cup next to a can",
             "template": "Holding [something] next to [something]", "placeholders": ["a cup", "a can"]},
            {"id": "2", "label": "tearing paper", "template": "Tearing [something]", "placeholders": ["paper"]},
        ],
        "validation.json": [{"id": "3", "template": "Tearing [something]"}],
        "test.json": [{"id": "4"}],
    }  # fmt: skip
    package = {f"labels/{name}": json.dumps(content).encode() for name, content in files.items()}
    write_zip(root / "20bn-something-something-download-package-labels.zip", package)
    folder = "20bn-something-something-v2"
    data = tar_bytes({f"{folder}/{n}.webm": video.read_bytes() for n in (1, 2, 3, 4)})
    write_parts(root, "zipped", data, folder)
    return root


def test_something_v2(something_v2: Path, tmp_path: Path) -> None:
    prepare.prepare_somethingv2(something_v2, tmp_path / "out")
    assert read_labels(tmp_path / "out" / "labels.txt") == ("Tearing something", "Holding something next to something")
    folder = "20bn-something-something-v2"
    assert listed(tmp_path / "out" / "train.txt") == [
        (f"{folder}/1.webm", None, (1,)),
        (f"{folder}/2.webm", None, (0,)),
    ]


def test_something_v2_as_frames(something_v2: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare.prepare_somethingv2(something_v2, out, prepare.Options(convert="frames"))
    assert listed(out / "train.txt") == [("frames-256/1", 6, (1,)), ("frames-256/2", 6, (0,))]
    assert sorted(path.name for path in (out / "frames-256" / "1").iterdir()) == [f"{n:06d}.jpg" for n in range(1, 7)]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.jpg")}
    for without_originals in (False, True):  # they are not needed any more
        if without_originals:
            shutil.rmtree(out / "20bn-something-something-v2")
        prepare.prepare_somethingv2(something_v2, out, prepare.Options(convert="frames"))
        assert listed(out / "train.txt") == [("frames-256/1", 6, (1,)), ("frames-256/2", 6, (0,))]
        assert {path: path.stat().st_mtime_ns for path in out.rglob("*.jpg")} == before
