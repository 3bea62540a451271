"""20BN-Jester: lists, labels, reports, and the scripts for the original file names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from testing.downloads import frame_folders, tar_bytes, write_parts, write_zip
from tests.support.lists import listed, replace
from tests.support.paths import ROOT

from trishift.data import prepare
from trishift.data.lists import read_labels
from trishift.errors import DataError

JESTER_LABELS = {
    "labels/labels.csv": b"Swiping Left\nThumb Up\nNo gesture\n",
    "labels/train.csv": b"34;Thumb Up\n7;No gesture\n100;Swiping Left\n",
    "labels/validation.csv": b"9;Swiping Left\n",
    "labels/test.csv": b"11\n",
}


def download_jester(root: Path, form: str = "zipped", lengths: dict[int, int] | None = None) -> None:
    lengths = lengths or {34: 5, 7: 4, 100: 3, 9: 6, 11: 3}
    write_zip(root / "20bn-jester-download-package-labels.zip", JESTER_LABELS)
    write_parts(root, form, tar_bytes(frame_folders("20bn-jester-v1", lengths)))


def test_jester(root: Path, tmp_path: Path) -> None:
    download_jester(root)
    out = tmp_path / "out"
    report = prepare.prepare_jester(root, out)
    assert read_labels(out / "labels.txt") == ("No gesture", "Swiping Left", "Thumb Up")
    assert listed(out / "train.txt") == [
        ("20bn-jester-v1/34", 5, (2,)), ("20bn-jester-v1/7", 4, (0,)), ("20bn-jester-v1/100", 3, (1,))
    ]  # fmt: skip
    assert listed(out / "val.txt") == [("20bn-jester-v1/9", 6, (1,))]
    assert report.lists == {"train.txt": 3, "val.txt": 1}
    assert not report.missing and not report.broken
    assert "27" in report.warnings[0]


def test_missing_and_broken_folders_are_reported(root: Path, tmp_path: Path) -> None:
    download_jester(root, lengths={34: 5, 7: 4, 9: 6})
    out = tmp_path / "out"
    prepare.prepare_jester(root, out)
    (out / "20bn-jester-v1/34/00003.jpg").unlink()
    (out / "20bn-jester-v1/9/00001.jpg").write_bytes(b"")
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(DataError, match=r"train\.txt: exists and differs; .* --force"):
        prepare.prepare_jester(root, out)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    report = prepare.prepare_jester(root, out, prepare.Options(force=True))
    assert report.missing == {"train": ["100"]}
    assert "00003.jpg" in report.broken["34"] and "00001.jpg" in report.broken["9"]
    assert listed(out / "train.txt") == [("20bn-jester-v1/7", 4, (0,))]
    assert (out / "val.txt").read_text() == ""
    assert any("val is empty" in text for text in report.warnings)
    assert json.loads((out / "report.json").read_text())["missing"] == {"train": ["100"]}
    assert "1 clip is missing" in str(report) and "2 clips are broken" in str(report)


def test_killed_and_finished_runs_can_be_repeated(root: Path, tmp_path: Path) -> None:
    download_jester(root)
    out = tmp_path / "out"
    (out / ".replacing-lists").mkdir(parents=True)  # left by a run killed while writing the lists
    (out / ".replacing-lists" / "train.txt").write_text("half")
    prepare.prepare_jester(root, out)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert not (out / ".replacing-lists").exists()
    prepare.prepare_jester(root, out, prepare.Options(check="all"))
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_scripts_write_the_original_files(root: Path, tmp_path: Path) -> None:
    download_jester(root)
    target = tmp_path / "jester data"
    downloads = {path.name: path.read_bytes() for path in root.iterdir()}
    assert run_script("unpack_jester_dataset.sh", root, target).returncode == 0
    assert {path.name: path.read_bytes() for path in root.iterdir()} == downloads
    shutil.rmtree(target / "20bn-jester-v1" / "100")
    done = run_script("preprocess_jester_dataset.sh", target)
    assert done.returncode == 0 and "1 clip is missing" in done.stdout
    assert (target / "categories.txt").read_text() == "No gesture\nSwiping Left\nThumb Up\n"
    assert (target / "train_videofolder.txt").read_text() == "34 5 2\n7 4 0\n"
    assert (target / "val_videofolder.txt").read_text() == "9 6 1\n"


def test_scripts_report_errors(root: Path, tmp_path: Path) -> None:
    for script in ("unpack_jester_dataset.sh", "preprocess_jester_dataset.sh"):
        wrong = run_script(script)
        assert wrong.returncode == 2 and wrong.stderr.startswith(f"usage: bash scripts/{script} ")
    download_jester(root, "bare")
    (root / "20bn-jester-v1-01").unlink()
    failed = run_script("unpack_jester_dataset.sh", root, tmp_path / "out")
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1 and "part 01" in failed.stderr
    assert (root / "20bn-jester-v1-00").exists() and (root / "20bn-jester-v1-02").exists()


def run_script(name: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
    }
    command = ["bash", str(ROOT / "scripts" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_unknown_label_suggests_a_match(root: Path, tmp_path: Path) -> None:
    download_jester(root)
    out = tmp_path / "out"
    prepare.prepare_jester(root, out)
    replace(out / "labels" / "train.csv", "Thumb Up", "Thumbs Up")
    with pytest.raises(
        DataError, match=r"train.csv:1: label 'Thumbs Up' is not in labels.csv; did you mean 'Thumb Up'"
    ):
        prepare.prepare_jester(root, out)
    replace(out / "labels" / "train.csv", "34;Thumbs Up", "video_id,label")
    with pytest.raises(DataError, match=r"train.csv:1: expected `id;class name`"):
        prepare.prepare_jester(root, out)


def test_rejects_missing_downloads(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        prepare.prepare_jester(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(DataError, match=r"jester-v1-labels.csv is missing"):
        prepare.prepare_jester(root, tmp_path / "out")
    write_zip(root / "labels.zip", JESTER_LABELS)
    with pytest.raises(DataError, match=r"none of the 4 annotated clips can be used; the first one, 34, was not found"):
        prepare.prepare_jester(root, tmp_path / "out")
