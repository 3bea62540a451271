"""HMDB51: one list per class and split."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.lists import listed

from trishift.data import prepare
from trishift.data.lists import read_labels


def test_hmdb51(root: Path, video: Path, tmp_path: Path) -> None:
    """Covers a name with special characters, and one used in two classes."""
    odd = "#122_Cleaning_Up_;(Beach)&_wave_u_cm_np1_ba_bad_0"
    for label in ("wave", "brush_hair"):
        for split in (1, 2, 3):
            folder = root / "testTrainMulti_7030_splits"
            folder.mkdir(exist_ok=True)
            (folder / f"{label}_test_split{split}.txt").write_text(f"{odd}.avi {split % 3} \nsame_1.avi 1 \n")
        (root / label).mkdir()
        for name in (odd, "same_1"):
            shutil.copy(video, root / label / f"{name}.avi")
    prepare.prepare_hmdb51(root, root, prepare.Options(check="all"))
    assert read_labels(root / "labels.txt") == ("brush_hair", "wave")
    assert listed(root / "train_1.txt")[:2] == [(f"brush_hair/{odd}.avi", 6, (0,)), ("brush_hair/same_1.avi", 6, (0,))]
    assert listed(root / "val_2.txt") == [(f"brush_hair/{odd}.avi", 6, (0,)), (f"wave/{odd}.avi", 6, (1,))]
    assert [name for name, _, _ in listed(root / "train_3.txt")] == ["brush_hair/same_1.avi", "wave/same_1.avi"]
