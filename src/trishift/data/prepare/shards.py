"""Tar files of the videos in lists, in webdataset's layout, and lists that name the videos in them.

Members of one key belong together: `train/jump_7.mp4` is a video, `train/jump_7.json` its path and the labels of its
clips in the list, and `train/jump_7.cls` its class, if it has exactly one. In place of the video, there may be the
pictures of a frame folder, `train/jump_7.img_00001.jpg`, .... Since a key ends at the first dot of a file
name, the other dots of a name become underscores; so do tabs, which separate the columns of an index.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from trishift.data.frames import stored_frames
from trishift.data.lists import ClipList, VideoRecord, read_labels, read_list, write_list
from trishift.data.parts import Part, split_part
from trishift.data.picture_names import PICTURE_SUFFIXES
from trishift.data.prepare.files import replacing
from trishift.errors import DataError, named
from trishift.io.atomic import staged
from trishift.io.progress import track
from trishift.io.regular import is_dir
from trishift.io.storage import is_stored, open_stored
from trishift.io.storage.ranges import FileRanges, RangeFile, Ranges
from trishift.io.storage.shards import SUFFIX, write_index
from trishift.io.wording import unreadable

SHARD_SIZE = 500_000_000  # bytes of videos
_NO_INDEX = re.compile(r"[\t\n]")  # characters that no index can hold
_Clips = list[tuple[VideoRecord, Part | None]]  # the records of one video, and the part that each names


def prepare_shards(
    lists: Sequence[Path],
    output: Path,
    *,
    clips: Path | None = None,
    labels: Path | None = None,
    shard_size: int = SHARD_SIZE,
    force: bool = False,
) -> dict[str, tuple[int, int]]:
    """Write the videos of lists into shards, in the order of the lists.

    Args:
        lists: see `lists.read_list`.
        output: folder for `NAME-000000.tar`, ..., an index beside each, and the lists, whose paths lead into them.
        clips: folder that the lists' paths are relative to; None for each list's own folder.
        labels: label file, which is copied.
        shard_size: bytes of videos after which a new shard begins.
        force: replace the shards and lists in the output folder.

    Returns:
        Number of clips and of shards by the name of each list.

    Raises:
        DataError: a list or a video cannot be read, a folder holds no pictures, or `output` has shards of
            these lists already and `force` is not set.
        OutputError: `output` cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from trishift.data.prepare.shards import prepare_shards
        >>> _ = Path("one.txt").write_text("clip.mp4 0\\n")
        >>> prepare_shards([Path("one.txt")], Path("shards"))
        {'one.txt': (1, 1)}
        >>> Path("shards/one.txt").read_text()
        'one-000000.tar/clip.mp4 0\\n'
    """
    names = read_labels(labels) if labels else None
    records = {path: read_list(path, clips, class_names=names) for path in lists}
    for path, of_list in records.items():
        _check(path, of_list)
        if not force and (old := next(output.glob(f"{path.stem}-*.tar"), None)):
            raise DataError(f"{old}: exists; choose another output folder, or use --force to write its shards again")
    counts = {}
    with replacing(output, force) as fresh:
        for path, of_list in records.items():
            places, shards = _write_shards(of_list, clips or path.parent, output, path.stem, shard_size)
            write_list(fresh / path.name, (replace(r, path=output / places[r.line]) for r in of_list), output)
            counts[path.name] = (len(of_list), shards)
        if labels:
            shutil.copyfile(labels, fresh / labels.name)
    return counts


def _check(path: Path, records: ClipList) -> None:
    """Refuse folders without pictures and missing files before anything is written."""
    for record in records:
        video, _ = split_part(record.path)
        if is_dir(video) and not any(_is_picture(entry.name) for entry in video.iterdir()):
            raise DataError(
                f"{path}:{record.line}: {video} is a folder without pictures; shards hold videos and folders of frames"
            )
        try:
            _ = is_stored(video) or video.stat()
        except OSError as error:
            raise DataError(f"{path}:{record.line}: {unreadable(video, error)}") from None


def _write_shards(
    records: ClipList, root: Path, output: Path, stem: str, shard_size: int
) -> tuple[dict[int, str], int]:
    """Write the shards of a list; returns the place of the clip of each line, and the number of shards."""
    videos: dict[Path, _Clips] = {}
    for record in records:
        video, part = split_part(record.path)
        videos.setdefault(video, []).append((record, part))
    keys, places, count = set[str](), dict[int, str](), 0
    waiting = iter(track(videos.items(), len(videos), f"{stem} shards"))
    entry = next(waiting, None)
    while entry is not None:
        shard = output / f"{stem}-{count:06d}.tar"
        count, written = count + 1, 0
        with staged(shard) as new, tarfile.open(new, "w", format=tarfile.PAX_FORMAT) as tar:
            while entry is not None and written < shard_size:
                line = entry[1][0][0].line
                files = _files_of(entry[0], line)
                key, suffix = _key(entry[0], root, keys, is_folder="" not in files)
                written += _add_files(tar, key, {end or suffix: file for end, file in files.items()}, entry[0], line)
                _add_texts(tar, key, *entry)
                places |= {record.line: f"{shard.name}/{key}{suffix}{part or ''}" for record, part in entry[1]}
                entry = next(waiting, None)
        write_index(shard)
    _remove_from(output, stem, count)
    return places, count


def _remove_from(output: Path, stem: str, count: int) -> None:
    """Remove the shards of an earlier, longer list."""
    while (shard := output / f"{stem}-{count:06d}.tar").exists():
        Path(f"{shard}{SUFFIX}").unlink(missing_ok=True)
        shard.unlink()
        count += 1


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith(".")


def _files_of(path: Path, line: int) -> dict[str, Ranges]:
    """The pictures of a frame folder by `.` and their names, or a video by nothing."""
    try:
        if is_dir(path):
            pictures: Mapping[str, Ranges] = {entry.name: FileRanges(entry) for entry in path.iterdir()}
        else:
            pictures = stored_frames(path)
        names = sorted(filter(_is_picture, pictures))
        found = {f".{_NO_INDEX.sub('_', name)}": pictures[name] for name in names}
        return found or {"": open_stored(path) or FileRanges(path)}
    except OSError as error:
        raise _unreadable(path, line, error) from None


def _key(path: Path, root: Path, keys: set[str], *, is_folder: bool) -> tuple[str, str]:
    """A new key for a clip, and the suffix of its file; none for a folder."""
    given = named(path.relative_to(root)) if path.is_relative_to(root) else Path(named(path)).name
    relative = PurePosixPath(_NO_INDEX.sub("_", given))
    folders = relative.parent.as_posix().replace(".tar/", "_tar/")
    stem = (f"{folders}/" if folders != "." else "") + (relative.name if is_folder else relative.stem).replace(".", "_")
    key = next(key for key in _numbered(stem) if key not in keys)
    keys.add(key)
    return key, "" if is_folder else relative.suffix or ".mp4"


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}_{number}"
        number += 1


def _add_files(tar: tarfile.TarFile, key: str, files: Mapping[str, Ranges], path: Path, line: int) -> int:
    """Add the files of a clip, by the ends of their members' names; returns their bytes."""
    try:
        for suffix, file in files.items():
            _add(tar, f"{key}{suffix}", file.size, io.BufferedReader(RangeFile(file), 2**20))
    except OSError as error:
        raise _unreadable(path, line, error) from None
    return sum(file.size for file in files.values())


def _unreadable(path: Path, line: int, error: OSError) -> DataError:
    return DataError(f"line {line} of the list: {unreadable(path, error)}")


def _add_texts(tar: tarfile.TarFile, key: str, path: Path, clips: _Clips) -> None:
    entries = [{"part": part and str(part), "labels": list(record.labels)} for record, part in clips]
    texts: Mapping[str, str] = {".json": json.dumps({"path": named(path), "clips": entries})}
    if len(clips) == 1 and len(clips[0][0].labels) == 1:
        texts = {**texts, ".cls": str(clips[0][0].labels[0])}
    for suffix, text in texts.items():
        data = text.encode("utf-8", "surrogateescape")
        _add(tar, f"{key}{suffix}", len(data), io.BytesIO(data))


def _add(tar: tarfile.TarFile, name: str, size: int, file: io.BufferedIOBase) -> None:
    """Add a member without owner and time, so that the same videos give the same shard."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    tar.addfile(info, file)  # type: ignore[arg-type]
