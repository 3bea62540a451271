"""Public data sets in miniature, in the files and layouts that are downloaded: lists, labels, reports, mistakes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from testing.downloads import frame_folders, tar_bytes, write_parts, write_zip
from testing.encoded_clips import cut, encode
from tests.support.paths import ROOT

from trishift.cli import main
from trishift.data import prepare
from trishift.data.lists import read_labels, read_list
from trishift.data.prepare.tree import Tree
from trishift.errors import DataError

Root = Path


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 6 frames."""
    return encode(tmp_path_factory.mktemp("clips") / "clip.mp4", "libx264", num_frames=6)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


JESTER_LABELS = {
    "labels/labels.csv": b"Swiping Left\nThumb Up\nNo gesture\n",
    "labels/train.csv": b"34;Thumb Up\n7;No gesture\n100;Swiping Left\n",
    "labels/validation.csv": b"9;Swiping Left\n",
    "labels/test.csv": b"11\n",
}


def download_jester(root: Root, form: str = "zipped", lengths: dict[int, int] | None = None) -> None:
    lengths = lengths or {34: 5, 7: 4, 100: 3, 9: 6, 11: 3}
    write_zip(root / "20bn-jester-download-package-labels.zip", JESTER_LABELS)
    write_parts(root, form, tar_bytes(frame_folders("20bn-jester-v1", lengths)))


def listed(path: Path, root: Path | None = None) -> list[tuple[str, int | None, tuple[int, ...]]]:
    """(path below the list's folder, frames, labels) of a list."""
    return [
        (record.path.relative_to(root or path.parent).as_posix(), record.num_frames, record.labels)
        for record in read_list(path, root)
    ]


def test_jester(root: Root, tmp_path: Path) -> None:
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


def test_jester_with_missing_and_broken_folders(root: Root, tmp_path: Path) -> None:
    download_jester(root, lengths={34: 5, 7: 4, 9: 6})
    out = tmp_path / "out"
    prepare.prepare_jester(root, out)
    (out / "20bn-jester-v1/34/00003.jpg").unlink()
    (out / "20bn-jester-v1/9/00001.jpg").write_bytes(b"")
    report = prepare.prepare_jester(root, out)
    assert report.missing == {"train": ["100"]}
    assert "00003.jpg" in report.broken["34"] and "00001.jpg" in report.broken["9"]
    assert listed(out / "train.txt") == [("20bn-jester-v1/7", 4, (0,))]
    assert read_text(out / "val.txt") == ""
    assert any("val is empty" in text for text in report.warnings)
    assert json.loads(read_text(out / "report.json"))["missing"] == {"train": ["100"]}
    assert "1 clips are missing" in str(report) and "2 clips are broken" in str(report)


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_jester_scripts_write_the_original_files(root: Root, tmp_path: Path) -> None:
    download_jester(root)
    target = tmp_path / "jester data"
    downloads = {path.name: path.read_bytes() for path in root.iterdir()}
    assert run_script("unpack_jester_dataset.sh", root, target).returncode == 0
    assert {path.name: path.read_bytes() for path in root.iterdir()} == downloads
    shutil.rmtree(target / "20bn-jester-v1" / "100")
    done = run_script("preprocess_jester_dataset.sh", target)
    assert done.returncode == 0 and "1 clips are missing" in done.stdout
    assert read_text(target / "categories.txt") == "No gesture\nSwiping Left\nThumb Up\n"
    assert read_text(target / "train_videofolder.txt") == "34 5 2\n7 4 0\n"
    assert read_text(target / "val_videofolder.txt") == "9 6 1\n"


def test_jester_scripts_fail_loudly(root: Root, tmp_path: Path) -> None:
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


def test_something_v1(root: Root, tmp_path: Path) -> None:
    prefix = "something-something-v1"
    (root / f"{prefix}-labels.csv").write_text("Tearing something\nHolding something\n")
    (root / f"{prefix}-train.csv").write_text("1;Holding something\n2;Tearing something\n")
    (root / f"{prefix}-validation.csv").write_text("3;Holding something\n")
    write_parts(root, "bare", tar_bytes(frame_folders(f"20bn-{prefix}", {1: 3, 2: 4, 3: 5})), f"20bn-{prefix}")
    prepare.prepare_somethingv1(root, tmp_path / "out")
    assert read_labels(tmp_path / "out" / "labels.txt") == ("Holding something", "Tearing something")
    assert listed(tmp_path / "out" / "train.txt") == [(f"20bn-{prefix}/1", 3, (0,)), (f"20bn-{prefix}/2", 4, (1,))]


@pytest.fixture
def something_v2(root: Root, video: Path) -> Root:
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


def test_something_v2(something_v2: Root, tmp_path: Path) -> None:
    prepare.prepare_somethingv2(something_v2, tmp_path / "out")
    assert read_labels(tmp_path / "out" / "labels.txt") == ("Tearing something", "Holding something next to something")
    folder = "20bn-something-something-v2"
    assert listed(tmp_path / "out" / "train.txt") == [
        (f"{folder}/1.webm", None, (1,)),
        (f"{folder}/2.webm", None, (0,)),
    ]


def test_something_v2_as_frames_in_the_originals_files(something_v2: Root, tmp_path: Path) -> None:
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


def test_of_several_forms_of_a_clip_the_best_one_is_taken(tmp_path: Path) -> None:
    order = ("replacement_for_k400/x.mp4", "a/x.mp4", "b/x/img_00001.jpg", "a/videos-256/x.mp4", ".trash/x.mp4")
    for name in order:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in order[:-1]:
        found = Tree([tmp_path, tmp_path / "a"]).clip(["nowhere", "x"])
        assert found == (tmp_path / name if name.endswith("mp4") else (tmp_path / name).parent)
        (tmp_path / name).unlink()
    assert Tree([tmp_path]).clip(["x"]) is None


KINETICS_HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"


@pytest.fixture
def kinetics(root: Root, video: Path) -> Root:
    """Training clips in the mirror's archives, with a damaged clip and its replacement; validation by class."""
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


def test_kinetics(kinetics: Root, tmp_path: Path) -> None:
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


def test_kinetics_reencoded_takes_the_originals_folder_names(kinetics: Root, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = prepare.prepare_kinetics(kinetics, out, prepare.Options(convert="videos", short_side=32))
    assert listed(out / "train.txt") == [
        ("videos-32/tai_chi/-abcdefghi__000010_000020.mp4", 6, (1,)),
        ("videos-32/petting_animal_not_cat/x_1_000000_000010.mp4", 6, (0,)),
    ]
    assert set(report.broken) == {"zumba/broken_000001_000011"}


UCF_INDEX = "1 ApplyEyeMakeup\n2 YoYo\n"


@pytest.fixture
def ucf101(root: Root, video: Path) -> Root:
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


def test_ucf101(ucf101: Root) -> None:
    report = prepare.prepare_ucf101(ucf101, ucf101, split=2)  # the lists may lie beside the downloads
    assert read_labels(ucf101 / "labels.txt") == ("ApplyEyeMakeup", "YoYo")
    assert listed(ucf101 / "val_3.txt") == [
        ("UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g03_c01.avi", None, (0,)),
        ("UCF-101/YoYo/v_YoYo_g03_c01.avi", None, (1,)),
    ]
    for name in ("train", "val"):
        assert read_text(ucf101 / f"{name}.txt") == read_text(ucf101 / f"{name}_2.txt")
    assert report.lists == {f"{name}{s}.txt": 4 if name == "train" else 2 for s in ("", "_1", "_2", "_3")
                            for name in ("train", "val")}  # fmt: skip


def test_hmdb51(root: Root, video: Path, tmp_path: Path) -> None:
    """A name with odd characters, and one that two classes share."""
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


def test_moments(root: Root, video: Path, tmp_path: Path) -> None:
    data = video.read_bytes()
    write_zip(
        root / "Moments_in_Time_Raw.zip",
        {
            "moments_categories.txt": b"clapping,0\nadult+female+singing,1\n",
            "trainingSet.csv": b"clapping/a.mp4,clapping,4,0\nadult+female+singing/a.mp4,adult+female+singing,3,1\n",
            "validationSet.csv": b"clapping/b.mp4,clapping,2,0\n",
            "training/clapping/a.mp4": data,
            "training/adult+female+singing/a.mp4": data,
            "validation/clapping/b.mp4": data,
        },
    )
    prepare.prepare_moments(root, tmp_path / "out")
    assert listed(tmp_path / "out" / "train.txt") == [
        ("training/clapping/a.mp4", None, (0,)), ("training/adult+female+singing/a.mp4", None, (1,))
    ]  # fmt: skip
    assert listed(tmp_path / "out" / "val.txt") == [("validation/clapping/b.mp4", None, (0,))]


def test_multi_moments_has_several_labels(root: Root, video: Path, tmp_path: Path) -> None:
    (root / "moments_categories.txt").write_text("clapping,0\nsinging,1\ndancing,2\n")
    (root / "trainingSet.csv").write_text("clapping/a.mp4,0,2\nsinging/yt-b_12.mp4,1\n")
    (root / "validationSet.csv").write_text("singing/c.mp4,2,1,0\n")
    (root / "videos").mkdir()
    for name in ("a", "yt-b_12", "c"):
        shutil.copy(video, root / "videos" / f"{name}.mp4")
    prepare.prepare_moments(root, tmp_path / "out")
    labels = {Path(name).name: numbers for name, _, numbers in listed_anywhere(tmp_path / "out" / "train.csv")}
    assert labels == {"a.mp4": (0, 2), "yt-b_12.mp4": (1,)}
    assert [numbers for _, _, numbers in listed_anywhere(tmp_path / "out" / "val.csv")] == [(2, 1, 0)]


def listed_anywhere(path: Path) -> list[tuple[Path, int | None, tuple[int, ...]]]:
    return [(record.path, record.num_frames, record.labels) for record in read_list(path)]


def replace(path: Path, old: str, new: str) -> None:
    text = read_text(path)
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("train.csv", "label,youtube_id", "name,video", r"train.csv:1: the header lacks label, youtube_id"),
        (
            "validate.csv",
            "petting animal (not cat)",
            "petting animal",
            r"validate.csv:2: label 'petting animal' .*meant",
        ),
        ("train.csv", "10,20", "10", r"train.csv:2: 5 columns instead of 6"),
        ("train.csv", "10,20", "ten,20", r"train.csv:2: .*seconds"),
        ("train.csv", "gone,5,15", "-abcdefghi_,10,20", r"more than once"),
        ("train.csv", "gone", "../../gone", r"cannot be the name"),
    ],
)
def test_wrong_annotations_are_explained(
    kinetics: Root, tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    replace(kinetics / file, old, new)
    with pytest.raises(DataError, match=message) as caught:
        prepare.prepare_kinetics(kinetics, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "train.txt").exists()


def test_labels_of_another_version_are_explained(root: Root, tmp_path: Path) -> None:
    download_jester(root)
    out = tmp_path / "out"
    prepare.prepare_jester(root, out)
    replace(out / "labels" / "train.csv", "Thumb Up", "Thumbs Up")
    with pytest.raises(DataError, match=r"train.csv:1: label 'Thumbs Up' is not in labels.csv; is 'Thumb Up' meant"):
        prepare.prepare_jester(root, out)
    replace(out / "labels" / "train.csv", "34;Thumbs Up", "video_id,label")
    with pytest.raises(DataError, match=r"train.csv:1: expected `id;class name`"):
        prepare.prepare_jester(root, out)


def test_ucf101_class_numbers_must_agree(ucf101: Root, tmp_path: Path) -> None:
    prepare.prepare_ucf101(ucf101, tmp_path / "out")
    index = tmp_path / "out" / "ucfTrainTestlist" / "classInd.txt"
    index.write_text("1 YoYo\n2 ApplyEyeMakeup\n")
    with pytest.raises(DataError, match=r"trainlist01.txt:1: ApplyEyeMakeup is class 2 in classInd.txt, not 1"):
        prepare.prepare_ucf101(ucf101, tmp_path / "out")


def test_two_different_annotations_are_not_mixed(kinetics: Root, tmp_path: Path) -> None:
    (kinetics / "k600").mkdir()
    (kinetics / "k600" / "train.csv").write_text(KINETICS_HEADER + "abseiling,q,1,11,train,0\n")
    with pytest.raises(DataError, match="differ"):
        prepare.prepare_kinetics(kinetics, tmp_path / "out")


def test_nothing_to_prepare_is_an_error(root: Root, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        prepare.prepare_jester(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(DataError, match=r"there is no jester-v1-labels.csv"):
        prepare.prepare_jester(root, tmp_path / "out")
    write_zip(root / "labels.zip", JESTER_LABELS)
    with pytest.raises(DataError, match=r"none of the 4 annotated clips can be used; the first one, 34, is nowhere"):
        prepare.prepare_jester(root, tmp_path / "out")


def test_damaged_archives_stop_unless_told_otherwise(kinetics: Root, tmp_path: Path) -> None:
    archive = kinetics / "train" / "part_1.tar.gz"
    cut(archive, archive, 0.8)
    with pytest.raises(DataError, match=r"part_1.tar.gz: is damaged or incomplete .*--incomplete"):
        prepare.prepare_kinetics(kinetics, tmp_path / "out")
    report = prepare.prepare_kinetics(kinetics, tmp_path / "out", prepare.Options(incomplete=True))
    assert list(report.archives) == ["train/part_1.tar.gz"]
    assert report.lists == {"train.txt": 2, "val.txt": 1}


def test_truncated_videos_are_kept_and_reported(root: Root, video: Path, tmp_path: Path) -> None:
    long = encode(tmp_path / "long.mp4", "libx264", num_frames=40, container_options={"movflags": "+faststart"})
    (root / "moments_categories.txt").write_text("a,0\n")
    (root / "trainingSet.csv").write_text("a/cut.mp4,a\n")
    (root / "validationSet.csv").write_text("a/whole.mp4,a\n")
    (root / "a").mkdir()
    cut(long, root / "a" / "cut.mp4", 0.6)
    shutil.copy(long, root / "a" / "whole.mp4")
    for options in (prepare.Options(check="all"), prepare.Options(convert="videos", short_side=32)):
        report = prepare.prepare_moments(root, tmp_path / "out", options)
        assert list(report.truncated) == ["a/cut"] and report.truncated["a/cut"].endswith("of 40 frames")
        assert [name.stem for name, _, _ in listed_anywhere(tmp_path / "out" / "train.txt")] == ["cut"]


def test_command_line(kinetics: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["kinetics", str(kinetics), "--output", str(tmp_path / "out"), "--frames", "--short-side", "32"]
    for extra, status in (([], 0), (["--reencode"], 2), (["--short-side", "1"], 1)):
        with pytest.raises(SystemExit) as stop:
            main(["prepare", *arguments, *extra])
        assert stop.value.code == status
    output = capsys.readouterr()
    assert "kinetics: 3 classes, 2 clips in train.txt, 1 clips in val.txt" in output.out
    assert "written: train.txt, val.txt, labels.txt and report.json in" in output.out
    folder = tmp_path / "out" / "frames-32" / "tai_chi" / "-abcdefghi__000010_000020"
    assert sorted(path.name for path in folder.iterdir())[0] == "img_00001.jpg"
