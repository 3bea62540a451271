"""Frame folders in a store (moto's server) and in tar shards give what they give on this machine."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.command_line import command
from tests.support.object_store import BUCKET, object_store, upload
from tests.support.tiny import write_recipe

from trishift.data.sources import open_clip, open_flow
from trishift.errors import DataError
from trishift.io.storage import remote
from trishift.io.storage.shards import write_index


@pytest.fixture(scope="module")
def folder(gestures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gestures as folders of frames, with lists; and one clip of flow."""
    folder = tmp_path_factory.mktemp("frames") / "data"
    folder.mkdir()
    for name in ("train.txt", "val.txt"):
        lines = []
        for line in (gestures / name).read_text().splitlines():
            path, *rest = line.split()
            target = Path(path).with_suffix("")
            with open_clip(gestures / path) as clip:
                write_pictures(folder / target, clip.read(range(clip.num_frames)))
            lines.append(" ".join([str(target), *rest]))
        (folder / name).write_text("\n".join([*lines, ""]))
    shutil.copy(gestures / "labels.txt", folder)
    noise = np.random.default_rng(0).integers(0, 255, (4, 32, 32), np.uint8)
    for axis in ("x", "y"):
        write_pictures(folder / "flow", noise, f"flow_{axis}_{{:05d}}.png")
    return folder


def write_pictures(folder: Path, frames: np.ndarray, template: str = "img_{:05d}.png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, 1):
        Image.fromarray(frame).save(folder / template.format(number))


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Any]:
    with object_store() as client:
        upload(client, folder, "frames")
        yield client


def first_clip(folder: Path) -> str:
    return (folder / "val.txt").read_text().split()[0]


def frames_of(path: Path, **options: str) -> np.ndarray:
    with open_clip(path, **options) as clip:
        return clip.read(range(clip.num_frames))


def test_frames_in_a_store_are_read_with_one_listing(
    client: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def call(address: str, method: str, **options: Any) -> Any:
        asked.append(method)
        return original(address, method, **options)

    original = remote.call
    for module in ("remote", "folders"):
        monkeypatch.setattr(f"trishift.io.storage.{module}.call", call)
    clip = first_clip(folder)
    with open_clip(Path(f"s3://{BUCKET}/frames/{clip}")) as stored, open_clip(folder / clip) as local:
        assert stored.num_frames == local.num_frames
        np.testing.assert_array_equal(stored.read([3, 0, 3]), local.read([3, 0, 3]))
    assert asked == ["find", "cat_file", "cat_file"]
    expected = frames_of(folder / clip, template="img_*.png")
    np.testing.assert_array_equal(frames_of(Path(f"s3://{BUCKET}/frames/{clip}"), template="img_*.png"), expected)


def test_flow_and_folders_named_like_videos(client: Any, folder: Path) -> None:
    with open_flow(Path(f"s3://{BUCKET}/frames/flow")) as stored, open_flow(folder / "flow") as local:
        np.testing.assert_array_equal(stored.read([0, 3]), local.read([0, 3]))
    upload(client, folder / first_clip(folder), "named.mp4")
    np.testing.assert_array_equal(frames_of(Path(f"s3://{BUCKET}/named.mp4")), frames_of(folder / first_clip(folder)))


def test_what_is_wrong_with_frames_in_a_store_is_named(client: Any) -> None:
    client.put_object(Bucket=BUCKET, Key="broken/img_00001.png", Body=b"no picture")
    client.put_object(Bucket=BUCKET, Key="gap/img_00001.png", Body=b"")
    client.put_object(Bucket=BUCKET, Key="gap/img_00003.png", Body=b"")
    for name, message in (
        ("broken", f"s3://{BUCKET}/broken/img_00001.png: the frame cannot be decoded"),
        ("gap", f"s3://{BUCKET}/gap: 1 frame is missing, first img_00002.png"),
        ("nothing", f"s3://{BUCKET}/nothing: does not exist; check the address"),
    ):
        with pytest.raises(DataError) as error:
            frames_of(Path(f"s3://{BUCKET}/{name}"))
        assert str(error.value).startswith(message)


def write_shard(folder: Path, path: Path, separator: str) -> None:
    """A tar of all clips: a folder of members for each, or a sample of webdataset's."""
    with tarfile.open(path, "w") as tar:
        for picture in sorted(folder.rglob("*.png")):
            clip = picture.parent.relative_to(folder).as_posix()
            tar.add(picture, f"{clip}{separator}{picture.name}")
        tar.add(folder / "labels.txt", "other.cls")
    write_index(path)


@pytest.mark.parametrize("separator", ["/", "."])
def test_frames_in_shards(client: Any, folder: Path, tmp_path: Path, separator: str) -> None:
    write_shard(folder, tmp_path / "all.tar", separator)
    address = upload(client, tmp_path, f"shards{ord(separator)}")
    for line in (folder / "val.txt").read_text().splitlines()[:3]:
        clip = line.split()[0]
        for shard in (tmp_path / "all.tar", address / "all.tar"):
            np.testing.assert_array_equal(frames_of(shard / clip), frames_of(folder / clip))
    for name in ("other", "zzz", "0"):  # a sample without pictures, and names after and before all others
        with pytest.raises(DataError, match=f"all.tar/{name}: the shard has no such member"):
            frames_of(tmp_path / "all.tar" / name)


def test_lists_of_frames_train_and_predict_alike_everywhere(
    client: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shard(folder, tmp_path / "all.tar", "/")
    for name in ("train.txt", "val.txt"):
        lines = (folder / name).read_text().splitlines()
        (tmp_path / name).write_text("".join(f"all.tar/{line}\n" for line in lines))
    shutil.copy(folder / "labels.txt", tmp_path)
    recipe, epochs, predicted = write_recipe(tmp_path / "tiny.yaml", folder), [], []
    for place, root in (("here", str(folder)), ("store", f"s3://{BUCKET}/frames"), ("shard", str(tmp_path))):
        words = ("train", "--config", recipe, "--output", tmp_path / place, "--device", "cpu", "--no-report")
        assert command(*words, f"data.root={root}") == 0
        epochs.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch 1:")])
        output = tmp_path / f"{place}.csv"
        words = ("infer", "--checkpoint", tmp_path / "here", "--device", "cpu", "--template", "img_{:05d}.png")
        assert command(*words, f"--filelist={root}/val.txt", "--output", output) == 0
        predicted.append([line.partition(",")[2] for line in output.read_text().splitlines()])
    assert epochs[0] == epochs[1] == epochs[2] and epochs[0]
    assert predicted[0] == predicted[1] == predicted[2] and len(predicted[0]) > 18
    clip = f"s3://{BUCKET}/frames/{first_clip(folder)}"
    words = ("timeline", "--checkpoint", tmp_path / "here", "--device", "cpu", "--window", 0.4, "--hop", 0.2)
    assert command(*words, clip, "--output", tmp_path / "timeline.json") == 0
    assert f"{clip}: has no time stamps" in capsys.readouterr().err
