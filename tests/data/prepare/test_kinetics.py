"""Kinetics: archives with damaged clips and replacements, re-encoding, and invalid annotations."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from testing.downloads import tar_bytes
from testing.encoded_clips import cut
from tests.support.lists import listed, replace

from trishift.cli import main
from trishift.data import prepare
from trishift.data.lists import read_labels, read_list
from trishift.errors import DataError

KINETICS_HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"


@pytest.fixture
def kinetics(root: Path, video: Path) -> Path:
    """Training clips in archives, with a damaged clip and its replacement; validation clips in class folders."""
    train = [
        "tai chi,-abcdefghi_,10,20,train,0",
        '"petting animal (not cat)",x_1,0,10,train,0',
        "tai chi,gone,5,15,train,0",
    ]
    (root / "train.csv").write_text(KINETICS_HEADER + "\n".join([*train, "zumba,broken,1,11,train,0"]) + "\n")
    (root / "validate.csv").write_text(KINETICS_HEADER + '"petting animal (not cat)",y,3,13,val,0\n')
    data = video.read_bytes()
    for number, files in enumerate(
        (
            {"-abcdefghi__000010_000020.mp4": data, "x_1_000000_000010.mp4": b"damaged"},
            {"broken_000001_000011.mp4": data[: len(data) // 3], "unlisted_000001_000011.mp4": data},
        )
    ):
        (root / "train").mkdir(exist_ok=True)
        (root / "train" / f"part_{number}.tar.gz").write_bytes(tar_bytes(files))
    replacement = {"replacement_for_corrupted_k400/x_1_000000_000010.mp4": data}
    (root / "replacement_for_corrupted_k400.tgz").write_bytes(tar_bytes(replacement))
    folder = root / "val" / "petting animal (not cat)"
    folder.mkdir(parents=True)
    shutil.copy(video, folder / "y_000003_000013.mp4")
    return root


def test_kinetics(kinetics: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = prepare.prepare_kinetics(kinetics, out)
    assert read_labels(out / "labels.txt") == ("petting animal (not cat)", "tai chi", "zumba")
    assert listed(out / "train.txt") == [
        ("train/-abcdefghi__000010_000020.mp4", None, (1,)),
        ("replacement_for_corrupted_k400/x_1_000000_000010.mp4", None, (0,)),
    ]
    (val,) = read_list(out / "val.txt")
    assert val.path == kinetics / "val" / "petting animal (not cat)" / "y_000003_000013.mp4"
    assert report.missing == {"train": ["tai_chi/gone_000005_000015"]}
    assert set(report.broken) == {"zumba/broken_000001_000011"}


def test_reencoded_folders_use_original_class_names(kinetics: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = prepare.prepare_kinetics(kinetics, out, prepare.Options(convert="videos", short_side=32))
    assert listed(out / "train.txt") == [
        ("videos-32/tai_chi/-abcdefghi__000010_000020.mp4", 6, (1,)),
        ("videos-32/petting_animal_not_cat/x_1_000000_000010.mp4", 6, (0,)),
    ]
    assert set(report.broken) == {"zumba/broken_000001_000011"}


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("train.csv", "label,youtube_id", "name,video", r"train.csv:1: the header lacks label, youtube_id"),
        (
            "validate.csv",
            "petting animal (not cat)",
            "petting animal",
            r"validate.csv:2: label 'petting animal' .*did you mean",
        ),
        ("train.csv", "10,20", "10", r"train.csv:2: 5 columns instead of 6"),
        ("train.csv", "10,20", "ten,20", r"train.csv:2: .*seconds"),
        ("train.csv", "gone,5,15", "gone,5,inf", r"train.csv:4: .*seconds"),
        ("train.csv", "gone,5,15", "gone,5," + "9" * 400, r"train.csv:4: .*seconds"),
        ("train.csv", "gone,5,15", "go\rne,5,15", r"train.csv:4: 2 columns"),
        ("train.csv", "tai chi,gone", '"tai chi,gone', r"train.csv:4: a quoted cell spans several lines"),
        ("train.csv", "gone,5,15", "-abcdefghi_,10,20", r"more than once"),
        ("train.csv", "gone", "../../gone", r"not a valid clip name"),
    ],
)
def test_invalid_annotations_are_explained(
    kinetics: Path, tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    replace(kinetics / file, old, new)
    with pytest.raises(DataError, match=message) as caught:
        prepare.prepare_kinetics(kinetics, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "train.txt").exists()


def test_rejects_conflicting_annotations(kinetics: Path, tmp_path: Path) -> None:
    (kinetics / "k600").mkdir()
    (kinetics / "k600" / "train.csv").write_text(KINETICS_HEADER + "abseiling,q,1,11,train,0\n")
    with pytest.raises(DataError, match="differ"):
        prepare.prepare_kinetics(kinetics, tmp_path / "out")


def test_damaged_archives_need_incomplete_option(kinetics: Path, tmp_path: Path) -> None:
    archive = kinetics / "train" / "part_1.tar.gz"
    cut(archive, archive, 0.8)
    with pytest.raises(DataError, match=r"part_1.tar.gz: is damaged or incomplete .*--incomplete"):
        prepare.prepare_kinetics(kinetics, tmp_path / "out")
    report = prepare.prepare_kinetics(kinetics, tmp_path / "out", prepare.Options(incomplete=True))
    assert list(report.archives) == ["train/part_1.tar.gz"]
    assert report.lists == {"train.txt": 2, "val.txt": 1}


def test_command_line(kinetics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["kinetics", str(kinetics), "--output", str(tmp_path / "out"), "--frames", "--short-side", "32"]
    for extra, status in (([], 0), (["--reencode"], 2), (["--short-side", "1"], 1)):
        with pytest.raises(SystemExit) as stop:
            main(["prepare", *arguments, *extra])
        assert stop.value.code == status
    output = capsys.readouterr()
    assert "kinetics: 3 classes, 2 clips in train.txt, 1 clip in val.txt" in output.out
    assert "written: train.txt, val.txt, labels.txt and report.json in" in output.out
    folder = tmp_path / "out" / "frames-32" / "tai_chi" / "-abcdefghi__000010_000020"
    assert sorted(path.name for path in folder.iterdir())[0] == "img_00001.jpg"
