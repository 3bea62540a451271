from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trishift.data.balance import BalanceSpec
from trishift.data.checks import check_sample, class_warnings
from trishift.data.classes import class_order
from trishift.data.clip_reader import ClipReader
from trishift.data.dataset import DataSpec, EvaluationSet, TrainingSet
from trishift.data.lists import VideoRecord, read_list
from trishift.data.opening import open_evaluation_set
from trishift.data.protocol import Protocol
from trishift.data.transforms import AugmentationSpec
from trishift.errors import DataError
from trishift.model.spec import InputSpec, ModelSpec

MODEL, PIXELS = ModelSpec("resnet10", 9, 4), InputSpec(resize=32, crop=32)


def training_set(records: list[VideoRecord], labels: tuple[str, ...], flip: str = "none", **data: Any) -> TrainingSet:
    reverse = data.pop("reverse", "none")
    data = DataSpec(augmentation=AugmentationSpec(flip=flip, reverse=reverse), **data)  # type: ignore[arg-type]
    return TrainingSet(records, labels, ClipReader(PIXELS, MODEL), data)


def warnings_of(counts: tuple[int, ...], labels: tuple[str, ...], flip: str = "none", **data: Any) -> str:
    records = [VideoRecord(Path(f"{k}-{i}.mp4"), (k,), None, 1) for k, n in enumerate(counts) for i in range(n)]
    val = EvaluationSet([VideoRecord(Path("v"), (0,), None, 1)], labels, ClipReader(PIXELS, MODEL), Protocol())
    return "\n".join(class_warnings(training_set(records, labels, flip, **data), val))


@pytest.mark.parametrize(
    ("counts", "labels", "flip", "warning"),
    [
        ((4,), ("wave",), "none", "there is only one class"),
        ((0, 3, 3), ("0", "1", "2"), "none", "1 of 3 classes ('0'); if the list counts its classes from 1"),
        ((3, 0, 3), ("a", "b", "c"), "none", "no training clips: 1 of 3 classes ('b')"),
        ((0, 3), ("a", "b"), "none", "only in the validation list, so never trained: 1 of 2 classes ('a')"),
        ((40, 2), ("a", "b"), "none", "imbalanced: 40 clips of 'a', 2 of 'b'; consider data.balance=square_root"),
        ((3, 3), ("Swiping Left", "Swiping Right"), "mirror", "turns 'Swiping Left' into 'Swiping Right'"),
    ],
)
def test_doubtful_classes_are_named(counts: tuple[int, ...], labels: tuple[str, ...], flip: str, warning: str) -> None:
    assert warning in warnings_of(counts, labels, flip)


@pytest.mark.parametrize("flip", ["none", "swap_labels"])
def test_sound_classes_give_no_warning(flip: str) -> None:
    assert warnings_of((3, 4), ("Swiping Left", "Swiping Right"), flip) == ""
    assert warnings_of((3, 4), ("run", "walk"), "mirror") == ""


def test_reversal_names_the_classes_that_it_swaps_and_leaves_out() -> None:
    names = ("Swiping Left", "Swiping Right", "push", "wave")
    found = warnings_of((3, 3, 3, 3), names, reverse="swap_labels")
    assert "swap the labels of 1 pair of classes: 'Swiping Left' and 'Swiping Right'; set" in found
    assert "never played backward, as no class is the opposite: 1 of 4 classes ('push')" in found
    assert "without class names" in warnings_of((3, 3), ("0", "1"), reverse="same_labels")
    with pytest.raises(DataError, match="'Swiping Left' becomes 'Swiping Right'"):
        warnings_of((3, 3), names[:2], reverse="same_labels")


def test_balanced_classes_are_not_called_imbalanced() -> None:
    assert warnings_of((40, 2), ("a", "b"), balance=BalanceSpec("class")) == ""
    with pytest.raises(DataError, match=r"no clips of 'b'"):
        warnings_of((4, 0), ("a", "b"), balance=BalanceSpec("class"))


def test_a_list_without_readable_clips_is_refused(tmp_path: Path) -> None:
    records = [VideoRecord(tmp_path / f"{i}.mp4", (0,), None, 1) for i in range(40)]
    with pytest.raises(DataError, match=r"val\.txt: none of 16 sampled clips can be read; first: .*0\.mp4"):
        check_sample(training_set(records, ("a",)), "val.txt")


def test_unreadable_clips_and_other_frame_counts_are_named(gestures: Path) -> None:
    records = list(read_list(gestures / "val.txt")[:6])
    assert check_sample(training_set(records, tuple("012345678")), "val.txt") == []
    records[2] = replace(records[2], num_frames=5)
    records[4] = replace(records[4], path=Path("gone.mp4"))
    first, second = check_sample(training_set(records, tuple("012345678")), "val.txt")
    assert first.startswith("val.txt: 1 of 6 sampled clips cannot be read: gone.mp4")
    assert second.startswith("val.txt: 1 of 6 sampled clips not as in the list: ") and "the list says 5" in second


def test_class_order() -> None:
    assert class_order(["b", "c", "a"], ["a", "b", "c"], "list", "model") == (1, 2, 0)
    assert class_order(["0", "1"], ["a", "b"], "list", "model") == (0, 1)
    with pytest.raises(
        DataError, match=r"list: classes differ from model: 1 only in list \('d'\); 1 only in model \('a'\)"
    ):
        class_order(["b", "d"], ["a", "b"], "list", "model")


def test_labels_are_mapped_to_the_order_of_the_model(
    gestures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = (gestures / "labels.txt").read_text().splitlines()
    (tmp_path / "labels.txt").write_text("\n".join(reversed(names)))
    records = read_list(gestures / "val.txt")
    rows = [f"{record.path},{names[record.labels[0]]}" for record in records]
    (tmp_path / "val.csv").write_text("\n".join(["path,label", *rows]))
    data = DataSpec(root=str(tmp_path), val_list="val.csv", labels="labels.txt")
    found = open_evaluation_set(data, PIXELS, MODEL, Protocol(), names, "model.safetensors")
    assert [int(found.target(i)) for i in range(len(found))] == [record.labels[0] for record in records]
    assert found.labels == tuple(names)
    assert "mapped by name" in caplog.text
    (tmp_path / "labels.txt").write_text("\n".join([*names[1:], "another"]))
    with pytest.raises(DataError, match=r"classes differ from model\.safetensors"):
        open_evaluation_set(data, PIXELS, MODEL, Protocol(), names, "model.safetensors")
