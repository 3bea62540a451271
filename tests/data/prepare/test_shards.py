"""Videos in tar shards: they read like files, and webdataset reads the shards."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.command_line import command
from tests.support.object_store import forget_stores, object_store, upload

from trishift.data.lists import read_list
from trishift.data.parts import split_part
from trishift.data.prepare.shards import prepare_shards
from trishift.data.sources import open_clip
from trishift.data.video import VideoFile, open_seekable, probe
from trishift.errors import DataError


@pytest.fixture(scope="module")
def shards(gestures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of the gestures, several clips in each."""
    folder = tmp_path_factory.mktemp("shards") / "set"
    lists, labels = [str(gestures / f"{name}.txt") for name in ("train", "val")], str(gestures / "labels.txt")
    words = ["prepare", "shards", *lists, "--labels", labels, "--output", str(folder), "--shard-size", "0.08"]
    assert command(*words) == 0
    return folder


def assert_same_clips(first: Path, second: Path) -> None:
    ours, theirs = read_list(first), read_list(second)
    assert len(ours) == len(theirs) > 10
    for one, other in zip(ours, theirs, strict=True):
        assert (one.labels, one.num_frames) == (other.labels, other.num_frames)
        with open_clip(one.path) as source, open_clip(other.path) as stored:
            assert source.num_frames == stored.num_frames
            numbers = [0, source.num_frames - 1, 3]
            assert np.array_equal(source.read(numbers), stored.read(numbers))


def test_clips_of_shards_are_those_of_files(gestures: Path, shards: Path) -> None:
    assert len(list(shards.glob("train-*.tar"))) > 2
    assert (shards / "labels.txt").read_bytes() == (gestures / "labels.txt").read_bytes()
    for name in ("train.txt", "val.txt"):
        assert_same_clips(gestures / name, shards / name)


def test_clips_of_a_store_are_those_of_files(gestures: Path, shards: Path) -> None:
    with object_store() as client:
        assert_same_clips(gestures / "val.txt", upload(client, gestures, "files") / "val.txt")
        address = upload(client, shards, "shards")
        assert_same_clips(gestures / "val.txt", address / "val.txt")
        clip = read_list(address / "val.txt")[0].path
        assert probe(clip).width == 32
        assert open_seekable(clip) is not None and isinstance(open_clip(clip), VideoFile)
        with pytest.raises(DataError, match=r"^s3://clips/shards/val-000000\.tar/none\.mp4: the shard has no"):
            open_clip(address / "val-000000.tar/none.mp4")
        client.delete_object(Bucket="clips", Key="shards/val-000001.tar.index")
        forget_stores()
        with pytest.raises(DataError, match=r"val-000001\.tar\.index: does not exist.*prepare index writes it"):
            open_clip(address / "val-000001.tar/none.mp4")


def test_webdataset_reads_the_shards(gestures: Path, shards: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    names = sorted(map(str, shards.glob("train-*.tar")))
    samples = list(webdataset.WebDataset(names, shardshuffle=False))
    records = read_list(gestures / "train.txt")
    assert len(samples) == len(records)
    for sample, record in zip(samples, records, strict=True):
        assert int(sample["cls"]) == record.labels[0]
        assert sample["mp4"] == record.path.read_bytes()
        described = json.loads(sample["json"])
        assert described == {"path": str(record.path), "clips": [{"part": None, "labels": list(record.labels)}]}


def test_shards_of_webdataset_are_read_after_indexing(gestures: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    clip = read_list(gestures / "val.txt")[0].path
    with webdataset.TarWriter(str(tmp_path / "theirs.tar")) as sink:
        sink.write({"__key__": "some/clip", "mp4": clip.read_bytes(), "cls": 3})
    assert command("prepare", "index", str(tmp_path / "theirs.tar")) == 0
    with open_clip(tmp_path / "theirs.tar/some/clip.mp4") as theirs, open_clip(clip) as ours:
        assert np.array_equal(theirs.read([2, 0]), ours.read([2, 0]))


def test_parts_share_a_video_and_names_with_dots_get_keys(gestures: Path, tmp_path: Path) -> None:
    clip = read_list(gestures / "val.txt")[0].path
    for name in ("a.b.mp4", "a_b.mp4"):
        (tmp_path / name).write_bytes(clip.read_bytes())
    lines = ["path,label", '"a.b.mp4#frames=0,4",1', '"a.b.mp4#frames=4,9",2', "a_b.mp4,0"]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    assert prepare_shards([tmp_path / "list.csv"], tmp_path / "out") == {"list.csv": (3, 1)}
    records = read_list(tmp_path / "out/list.csv")
    assert [record.labels for record in records] == [(1,), (2,), (0,)]
    videos = [split_part(record.path)[0] for record in records]
    assert videos[0] == videos[1] != videos[2]
    with open_clip(records[1].path) as part, open_clip(clip) as whole:
        assert np.array_equal(part.read([0]), whole.read([4]))


def test_names_that_no_index_can_hold_are_changed(gestures: Path, tmp_path: Path) -> None:
    clip = read_list(gestures / "val.txt")[0].path
    for name in ("a\tb.mp4", "a_b.mp4"):
        (tmp_path / name).write_bytes(clip.read_bytes())
    (tmp_path / "list.csv").write_text("path,label\na\tb.mp4,1\na_b.mp4,0\n")
    prepare_shards([tmp_path / "list.csv"], tmp_path / "out")
    records = read_list(tmp_path / "out/list.csv")
    assert [(record.path.name, record.labels) for record in records] == [("a_b.mp4", (1,)), ("a_b_2.mp4", (0,))]
    with open_clip(records[0].path) as stored, open_clip(clip) as whole:
        assert np.array_equal(stored.read([4]), whole.read([4]))


def test_frame_folders_are_samples_of_pictures(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, 6, 16, 16, 3), np.uint8)
    for name, pictures in zip(("a/clip.1", "b"), frames, strict=True):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "notes.txt").write_text("no picture")
        for number, picture in enumerate(pictures, 1):
            Image.fromarray(picture).save(tmp_path / name / f"img_{number:05d}.png")
    (tmp_path / "list.txt").write_text("a/clip.1 6 1\nb 6 0\n")
    assert prepare_shards([tmp_path / "list.txt"], tmp_path / "out", shard_size=1) == {"list.txt": (2, 2)}
    assert (tmp_path / "out/list.txt").read_text() == "list-000000.tar/a/clip_1 6 1\nlist-000001.tar/b 6 0\n"
    assert_same_frames(tmp_path / "out/list.txt", frames)
    with tarfile.open(tmp_path / "out/list-000001.tar") as tar:
        assert tar.getnames() == [*(f"b.img_{number:05d}.png" for number in range(1, 7)), "b.json", "b.cls"]
    with object_store() as client:
        address = upload(client, tmp_path / "out", "set")
        assert_same_frames(address / "list.txt", frames)
        prepare_shards([address / "list.txt"], tmp_path / "again")
        assert_same_frames(tmp_path / "again/list.txt", frames)
        upload(client, tmp_path / "a", "folders/a")
        (tmp_path / "stored.txt").write_text("s3://clips/folders/a/clip.1 6 1\n")
        prepare_shards([tmp_path / "stored.txt"], tmp_path / "again")
        assert_same_frames(tmp_path / "again/stored.txt", frames[:1])


def assert_same_frames(path: Path, frames: np.ndarray) -> None:
    for record, expected in zip(read_list(path), frames, strict=True):
        with open_clip(record.path) as clip:
            assert np.array_equal(clip.read(range(clip.num_frames)), expected)


def test_bad_input_is_one_line(gestures: Path, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.tar: exists; choose another output folder, or use --force"):
        prepare_shards([gestures / "train.txt"], shards)
    (tmp_path / "missing.txt").write_text(f"{read_list(gestures / 'val.txt')[0].path} 0\nnone.mp4 0\n")
    with pytest.raises(DataError, match=r"missing\.txt:2: .*none\.mp4: cannot be read"):
        prepare_shards([gestures / "val.txt", tmp_path / "missing.txt"], tmp_path / "out")
    (tmp_path / "frames").mkdir()
    for line in ("frames 0\n", "frames#frames=0,4 0\n"):
        (tmp_path / "folder.txt").write_text(line)
        with pytest.raises(
            DataError, match=r"folder\.txt:1: .*frames is a folder without pictures; shards hold videos"
        ):
            prepare_shards([tmp_path / "folder.txt"], tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


def test_the_same_videos_give_the_same_shard(gestures: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare_shards([gestures / "val.txt"], tmp_path / name)
    first, second = ((tmp_path / name / "val-000000.tar").read_bytes() for name in ("one", "two"))
    assert io.BytesIO(first).getvalue() == second
