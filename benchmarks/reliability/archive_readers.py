"""Readers of archives."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

from benchmarks.reliability.readers import Reader


def _archive_seeds(folder: Path) -> None:
    files = {f"clips/{i}.mp4": bytes([i]) * 300 for i in range(6)}
    for name, compression in (("a", zipfile.ZIP_STORED), ("b", zipfile.ZIP_DEFLATED)):
        (folder / name).mkdir()
        with zipfile.ZipFile(folder / name / f"{name}.zip", "w", compression) as archive:
            for key, data in files.items():
                archive.writestr(key, data)
    for name, mode in (("c.tar", "w"), ("d.tar.gz", "w:gz")):
        (folder / name).mkdir()
        _write_tar(folder / name / name, mode, [(tarfile.TarInfo(key), data) for key, data in files.items()])
    (folder / "parts").mkdir()
    _write_tar(folder / "whole.tar.gz", "w:gz", [(tarfile.TarInfo(key), data) for key, data in files.items()])
    whole = (folder / "whole.tar.gz").read_bytes()
    (folder / "whole.tar.gz").unlink()
    for number in range(2):
        half = len(whole) // 2
        (folder / "parts" / f"20bn-jester-v1-0{number}").write_bytes(
            whole[half * number : half * (number + 1) + number]
        )


def _write_tar(path: Path, mode: str, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, data in members:
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))


def _hostile_archives(folder: Path) -> None:
    number = itertools.count()

    def case() -> Path:
        path = folder / f"{next(number):03d}"
        path.mkdir()
        return path

    names = (
        "../x",
        "/tmp/trishift-x",
        "a/../../x",
        "C:\\x",
        "\\\\host\\x",
        "..\\x",
        "",
        ".",
        "./",
        "a\0b",
        "a" * 300,
        "a/" * 2000 + "x",
        "\x1b[31m",
        "a\nb",
        "\udcff",
        "con",
        "unpacked.json",
        "a//b",
        "~/x",
        ".unfinished-x",
    )
    for name in names:
        info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
        with zipfile.ZipFile(case() / "a.zip", "w") as archive, archive.open(info, "w") as file:
            file.write(b"x")  # unlike `writestr`, accepts an empty name
        _write_tar(case() / "a.tar", "w", [(tarfile.TarInfo(name), b"x")])
    for kind in (
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.CONTTYPE,
    ):
        for target in ("/tmp", "../..", "a"):
            link, file = tarfile.TarInfo("link"), tarfile.TarInfo("link/x")
            link.type, link.linkname = kind, target
            _write_tar(case() / "a.tar", "w", [(link, b""), (file, b"x")])
    with zipfile.ZipFile(case() / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
        archive.writestr("link/x", b"x")
    for pair in (("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a", "A")):
        with zipfile.ZipFile(case() / "a.zip", "w") as archive:
            for name in pair:
                archive.writestr(name, b"x")
        _write_tar(case() / "a.tar", "w", [(tarfile.TarInfo(name), b"x") for name in pair])
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        large, packed = bytes(400 * 2**20), io.BytesIO()
        with zipfile.ZipFile(packed, "w", compression) as archive:
            archive.writestr("x", large)
        for declared in (4, 2**31):
            data = packed.getvalue().replace(struct.pack("<I", len(large)), struct.pack("<I", declared))
            (case() / "a.zip").write_bytes(data)
    for bits in (8, 9, 99, 65_535):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("x", b"x" * 50)
        data = packed.getvalue()
        (case() / "a.zip").write_bytes(
            data[:8]
            + struct.pack("<H", bits)
            + data[10:].replace(b"\x00\x00\x00\x00!\x00", struct.pack("<H", bits) + b"\x00\x00!\x00")
        )
        (case() / "a.zip").write_bytes(data[:6] + struct.pack("<H", bits) + data[8:])
    for size in ("77777777777", "00000000000", "xxxxxxxxxxx", "\x80" + "\xff" * 10):
        info = tarfile.TarInfo("x")
        head = info.tobuf()
        (case() / "a.tar").write_bytes(head[:124] + size.encode("latin1")[:11] + head[135:] + b"\0" * 1024)
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 2**33
    (case() / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"99999999 path=" + b"a" * 5000)
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE, tarfile.XGLTYPE):
        header = tarfile.TarInfo("long")
        header.type, header.size = kind, 2**20
        (case() / "a.tar").write_bytes(
            header.tobuf(tarfile.GNU_FORMAT) + b"a" * 2**20 + tarfile.TarInfo("x").tobuf() + b"\0" * 1024
        )
    for data in (b"", b"PK", b"\x1f\x8b", b"\0" * 1024, os.urandom(5000), b"PK\x05\x06" + b"\xff" * 18):
        for name in ("a.zip", "a.tar", "a.tar.gz", "20bn-x-00", "20bn-x-00.zip"):
            (case() / name).write_bytes(data)
    (case() / "20bn-jester-v1-01").write_bytes(b"x")
    (case() / "20bn-jester-v1-00.zip").write_bytes(
        deflated({"20bn-jester-v1-00": b"x" * 500, "20bn-jester-v1-00.md5": bytes(10**6)})
    )
    (case() / "a.zip").write_bytes(deflated({"20bn-jester-v1-00": b"x", "20bn-jester-v1-00.md5": bytes(400 * 2**20)}))
    (case() / "a.zip").symlink_to("/dev/zero")
    for text in ("[]", "5", "[" * 100_000, '{"a.zip": 5}', "null"):
        path = case()
        (path / "out-unpacked.json").write_text(text)
        (path / "a.zip").write_bytes(deflated({"x": b"x"}))


def deflated(entries: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return packed.getvalue()


def read_archives(path: Path, out: Path) -> None:
    """Unpack everything in a folder; the notes of an earlier run may be damaged, too."""
    from trishift.data.prepare.unpacking import unpack_completely

    notes = path / "out-unpacked.json"
    if notes.is_file():
        shutil.copy(notes, out / "unpacked.json")
    unpack_completely(path, out, 1)


READERS = {
    "archive": Reader("archive (`.zip`, `.tar`, `.tar.gz`, parts)", _archive_seeds, _hostile_archives, read_archives),
}
