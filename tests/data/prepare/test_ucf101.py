"""UCF101: three splits, and class numbers from 1."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from testing.downloads import write_zip
from tests.support.lists import listed

from trishift.data import prepare
from trishift.data.lists import read_labels
from trishift.errors import DataError

UCF_INDEX = "1 ApplyEyeMakeup\n2 YoYo\n"


@pytest.fixture
def ucf101(root: Path, video: Path) -> Path:
    lists = {"ucfTrainTestlist/classInd.txt": UCF_INDEX.encode()}
    names = [f"{label}/v_{label}_g{group:02d}_c01.avi" for label in ("ApplyEyeMakeup", "YoYo") for group in (1, 2, 3)]
    for split in (1, 2, 3):
        test = [name for name in names if f"_g{split:02d}_" in name]
        train = [f"{name} {1 + name.startswith('YoYo')}" for name in names if name not in test]
        lists[f"ucfTrainTestlist/trainlist{split:02d}.txt"] = ("\r\n".join(train) + "\r\n").encode()
        lists[f"ucfTrainTestlist/testlist{split:02d}.txt"] = "\n".join(test).encode()
    write_zip(root / "UCF101TrainTestSplits-RecognitionTask.zip", lists)
    for name in names:
        (root / "UCF-101" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, root / "UCF-101" / name)
    return root


def test_ucf101(ucf101: Path) -> None:
    report = prepare.prepare_ucf101(ucf101, ucf101, split=2)  # the output folder may be the download folder
    assert read_labels(ucf101 / "labels.txt") == ("ApplyEyeMakeup", "YoYo")
    assert listed(ucf101 / "val_3.txt") == [
        ("UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g03_c01.avi", None, (0,)),
        ("UCF-101/YoYo/v_YoYo_g03_c01.avi", None, (1,)),
    ]
    for name in ("train", "val"):
        assert (ucf101 / f"{name}.txt").read_text() == (ucf101 / f"{name}_2.txt").read_text()
    assert report.lists == {f"{name}{s}.txt": 4 if name == "train" else 2 for s in ("", "_1", "_2", "_3")
                            for name in ("train", "val")}  # fmt: skip


def test_ucf101_class_numbers_must_agree(ucf101: Path, tmp_path: Path) -> None:
    prepare.prepare_ucf101(ucf101, tmp_path / "out")
    index = tmp_path / "out" / "ucfTrainTestlist" / "classInd.txt"
    index.write_text("1 YoYo\n2 ApplyEyeMakeup\n")
    with pytest.raises(DataError, match=r"trainlist01.txt:1: ApplyEyeMakeup is class 2 in classInd.txt, not 1"):
        prepare.prepare_ucf101(ucf101, tmp_path / "out")
