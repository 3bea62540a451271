"""Generated downloads: archives in the layout of the data sets' providers."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Literal

from PIL import Image


def tar_bytes(files: dict[str, bytes], mode: Literal["w", "w:gz", "w:bz2", "w:xz"] = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def parts(data: bytes, count: int = 3) -> list[bytes]:
    size = -(-len(data) // count)
    return [data[i * size : (i + 1) * size] for i in range(count)]


def write_parts(folder: Path, form: str, data: bytes, name: str = "20bn-jester-v1") -> list[Path]:
    """Write the parts of a tar.gz as downloaded: bare, in zips with MD5 sums, or bare with a .zip suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, piece in enumerate(parts(data)):
        part = f"{name}-{number:02d}"
        if form == "zipped":
            sums = f"{hashlib.md5(piece).hexdigest()}  {part}\n".encode()
            paths.append(write_zip(folder / f"{part}.zip", {part: piece, f"{part}.md5": sums}))
        else:
            paths.append(folder / (part if form == "bare" else f"{part}.zip"))
            paths[-1].write_bytes(piece)
    return paths


def jpeg(shade: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def frame_folders(name: str, lengths: dict[int, int]) -> dict[str, bytes]:
    return {f"{name}/{clip}/{n:05d}.jpg": jpeg(n) for clip, length in lengths.items() for n in range(1, length + 1)}
