"""One way in for weights: names, addresses, archives, hashes, mirrors and being offline."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import isolated, small_zoo
from tests.support.command_line import command
from tests.support.file_server import FileServer, web_page
from tests.support.paths import SUPPORT
from tests.support.small_zoo import FILES, FLUID, TSM, VIDEO

from trishift.checkpoints import canonical
from trishift.errors import CheckpointError
from trishift.io.atomic import staged
from trishift.zoo.converted import canonical_path
from trishift.zoo.home import HomeError, claimed, read_sums
from trishift.zoo.published import entry_named
from trishift.zoo.sources import WeightSource


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(("name", "classes"), [(TSM, 27), (VIDEO, 400), (FLUID, 51)])
def test_name_becomes_a_canonical_file(
    name: str, classes: int, zoo: FileServer, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = WeightSource(name).fetch()
    checkpoint, content = canonical.load(path), zoo.files[f"/{FILES[name]}"]
    assert path == home / "weights" / name / f"{name}.safetensors"
    assert checkpoint.labels and len(checkpoint.labels) == classes == checkpoint.spec.num_classes
    origin = checkpoint.meta["origin"]
    assert (origin["name"], origin["file"], origin["sha256"]) == (name, FILES[name], sha(content))
    assert read_sums() == {f"weights/{name}/{FILES[name]}": sha(content)}
    assert f"{sha(content)} is trusted from now on (none is published)" in caplog.text
    seen = len(zoo.requests)
    assert seen == (2 if name == TSM else 1)  # its first address is dead
    assert WeightSource(name).fetch() == path and len(zoo.requests) == seen
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=home, check=True)


def test_offline_uses_the_cache_and_says_what_is_missing(
    zoo: FileServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = WeightSource(TSM).fetch()
    monkeypatch.setenv("TRISHIFT_OFFLINE", "1")
    assert WeightSource(TSM).fetch() == path
    place = home / "weights" / VIDEO / FILES[VIDEO]
    before = len(zoo.requests)
    with pytest.raises(
        CheckpointError,
        match=re.escape(f"put the file at {place}, set TRISHIFT_MIRROR, or use `trishift models --from-bundle`"),
    ):
        WeightSource(VIDEO).check()
    with pytest.raises(CheckpointError, match="TRISHIFT_OFFLINE"):
        WeightSource(f"{zoo.url}/a.pth").fetch()
    place.parent.mkdir()
    place.write_bytes(zoo.files[f"/{FILES[VIDEO]}"])
    assert WeightSource(VIDEO).fetch().is_file() and len(zoo.requests) == before


def test_conversion_is_made_anew_when_either_file_changes(zoo: FileServer) -> None:
    path = WeightSource(TSM).fetch()
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\0")
    assert WeightSource(TSM).fetch().read_bytes() == content
    original = path.with_name(FILES[TSM])
    original.write_bytes(b"other")
    assert WeightSource(TSM).fetch().read_bytes() == content  # the original is not needed
    path.unlink()
    with pytest.raises(CheckpointError, match=r"but the pinned one is .* lies at .*refused-"):
        WeightSource(TSM).fetch()
    assert not original.exists() and WeightSource(TSM).fetch().read_bytes() == content


@pytest.mark.parametrize("digits", [64, 8])
def test_published_hashes_are_checked(
    digits: int, zoo: FileServer, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = sha(zoo.files[f"/{FILES[VIDEO]}"])
    small_zoo.serve(zoo, monkeypatch, {VIDEO: right[:digits]})
    WeightSource(VIDEO).fetch()
    assert ("only its first 8 digits are published" in caplog.text) == (digits == 8)
    small_zoo.serve(zoo, monkeypatch, {TSM: right[:digits]})
    with pytest.raises(CheckpointError, match=r"the publisher's begins with .* not used and lies at .*refused-"):
        WeightSource(TSM).fetch()
    kept = list((home / "weights" / TSM).iterdir())
    assert [path.read_bytes() for path in kept] == [zoo.files[f"/{FILES[TSM]}"]]


def test_shared_pins_refuse_another_file(zoo: FileServer, home: Path) -> None:
    home.mkdir()
    (home / "SHA256SUMS").write_text(f"{'0' * 64}  weights/{VIDEO}/{FILES[VIDEO]}\n")
    with pytest.raises(CheckpointError, match="the pinned one is 0000"):
        WeightSource(VIDEO).fetch()
    (home / "SHA256SUMS").write_text("damaged\n")
    with pytest.raises(CheckpointError, match=r"SHA256SUMS:1: 'damaged' is not a sha256"):
        WeightSource(VIDEO).fetch()


def test_mirror_comes_first(zoo: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = zoo.files.pop(f"/{FILES[TSM]}")
    zoo.files[f"/mirror/{TSM}/{FILES[TSM]}"] = content
    monkeypatch.setenv("TRISHIFT_MIRROR", f"{zoo.url}/mirror")
    WeightSource(TSM).fetch()
    assert [path for path, _ in zoo.requests] == [f"/mirror/{TSM}/{FILES[TSM]}"]
    (tmp_path / "share" / VIDEO).mkdir(parents=True)
    (tmp_path / "share" / VIDEO / FILES[VIDEO]).write_bytes(zoo.files[f"/{FILES[VIDEO]}"])
    monkeypatch.setenv("TRISHIFT_MIRROR", str(tmp_path / "share"))
    monkeypatch.setenv("TRISHIFT_OFFLINE", "1")
    assert WeightSource(VIDEO).fetch().is_file() and len(zoo.requests) == 1
    monkeypatch.delenv("TRISHIFT_OFFLINE")
    assert WeightSource(FLUID).fetch().is_file()  # which the mirror lacks


def test_web_page_in_place_of_weights_is_not_kept(zoo: FileServer, home: Path) -> None:
    zoo.files[f"/{FILES[VIDEO]}"] = b"<!DOCTYPE html>"  # announced as a file
    with pytest.raises(CheckpointError, match="is a web page, not weights"):
        WeightSource(VIDEO).fetch()
    zoo.always[f"/{FILES[VIDEO]}"] = web_page
    with pytest.raises(CheckpointError, match="a web page instead of a file"):
        WeightSource(VIDEO).fetch()
    assert read_sums() == {} and not list((home / "weights" / VIDEO).iterdir())


@pytest.mark.parametrize("name", [TSM, VIDEO, FLUID])
def test_half_a_file_is_not_trusted(name: str, zoo: FileServer, home: Path) -> None:
    content = zoo.files[f"/{FILES[name]}"]
    zoo.files[f"/{FILES[name]}"] = content[: len(content) // 2]  # from a server that does not know better
    with pytest.raises(CheckpointError, match="cannot be downloaded"):
        WeightSource(name).fetch()
    assert read_sums() == {} and not list((home / "weights" / name).iterdir())


def test_another_model_under_a_name_is_refused(zoo: FileServer) -> None:
    zoo.files[f"/{FILES[VIDEO]}"] = zoo.files[f"/{FILES[TSM]}"]
    with pytest.raises(CheckpointError, match="not of dialect 'paddlevideo'"):
        WeightSource(VIDEO).fetch()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tsm-tiny", "several are called like that: tsm-tiny-jester, tsm-tiny-k400, tsm-tiny-hmdb51"),
        ("tsm-tiny-jestr", "no published weights of that name; did you mean tsm-tiny-jester"),
        ("weights/none.pth", "weights/none.pth: no such file; check the path"),
        (f"old/{FILES[VIDEO]}", "this published file has the name tsm-tiny-k400 here"),
        ("tsm-lost", "its authors state no address; put the file at"),
        ("ftp://bucket/file.pth", "addresses start with https://"),
        ("https://example.com/", "names no file"),
        ("https://example.com/w.pth#sha256=12", "8 to 64 hexadecimal digits"),
        ("https://example.com/w.pth#abcdef0123", "8 to 64 hexadecimal digits"),
        ("hf://owner", "write it as hf://owner/repo"),
        ("ms://owner/repo/../w.pth", "write it as ms://owner/repo"),
        ("file:///none/w.pth", "no such file"),
        ("file://data/w.pth", "write it with three slashes"),
        ("file:///w.pth#sha256=12", "8 to 64 hexadecimal digits"),
        ("x" * 300, "no such file, and no published weights"),
    ],
)
def test_bad_names_are_refused_without_a_request(text: str, message: str, zoo: FileServer) -> None:
    with pytest.raises(CheckpointError, match=re.escape(message)):
        WeightSource(text).check()
    assert not zoo.requests


def test_address_is_downloaded_once_and_pinned(zoo: FileServer, home: Path) -> None:
    url = f"{zoo.url}/{FILES[TSM]}"
    path = WeightSource(url).fetch()
    assert path.read_bytes() == zoo.files[f"/{FILES[TSM]}"] and path.name == FILES[TSM]
    assert WeightSource(f"{url}#sha256={sha(path.read_bytes())}").fetch() == path and len(zoo.requests) == 1
    with pytest.raises(CheckpointError, match="the publisher's begins with 00000000"):
        WeightSource(f"{zoo.url}/{FILES[VIDEO]}#sha256=00000000").fetch()
    assert WeightSource(f"{path.as_uri()}#sha256={sha(path.read_bytes())[:8]}").fetch() == path
    with pytest.raises(CheckpointError, match=r"the sha256 of the file is .* not used"):
        WeightSource(f"{path.as_uri()}#sha256=00000000").fetch()
    assert WeightSource(url).stem == Path(FILES[TSM]).stem and WeightSource(url).folder == Path()


def test_refused_download_states_its_cause_once(zoo: FileServer, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CheckpointError) as caught:
        WeightSource(f"{zoo.url}/gone.pth").fetch()
    assert str(caught.value).count(zoo.url) == str(caught.value).count("404") == 1 and not caplog.records


def test_secrets_of_an_address_stay_out_of_messages_and_files(
    zoo: FileServer, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    zoo.answers[f"/{FILES[TSM]}"] = [lambda handler, body: handler.reply(200, body or b"", cut=100, ETag='"1"')]
    secret = zoo.url.replace("://", "://zoe:pass@w0rd@") + f"/{FILES[TSM]}?token=t0ken&v=1"
    path = WeightSource(secret).fetch()
    assert WeightSource(secret.replace("t0ken", "another")).fetch() == path
    with pytest.raises(CheckpointError, match="404") as caught:
        WeightSource(secret.replace(FILES[TSM], "gone.pth")).fetch()
    kept = [file.read_text(errors="replace") for file in home.rglob("*") if file.is_file() and file.suffix != ".pth"]
    for text in (str(caught.value), str(WeightSource(secret)), caplog.text, *map(str, home.rglob("*")), *kept):
        assert not [word for word in ("zoe", "w0rd", "t0ken") if word in text], text


def test_existing_path_wins(zoo: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(TSM).write_bytes(b"a file of that name")
    assert WeightSource(TSM).fetch() == Path(TSM) and not zoo.requests


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_home_names_the_remedy(zoo: FileServer, home: Path) -> None:
    home.mkdir(mode=0o500)
    with pytest.raises(HomeError, match="set TRISHIFT_HOME"):
        WeightSource(TSM).fetch()


def test_unusable_homes_and_mirrors_are_refused(zoo: FileServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_text("")
    with pytest.raises(HomeError, match=rf"{home}.* cannot be written \(not a directory\); set TRISHIFT_HOME"):
        WeightSource(TSM).fetch()
    monkeypatch.setenv("TRISHIFT_HOME", "~nobody-has-this-name/weights")
    with pytest.raises(HomeError, match=r"TRISHIFT_HOME=~nobody.*no such user"):
        WeightSource(TSM).check()
    monkeypatch.setenv("TRISHIFT_HOME", "relative")
    assert canonical_path(entry_named(TSM)).is_absolute()
    monkeypatch.setenv("TRISHIFT_MIRROR", "hf://me/mirror")
    with pytest.raises(CheckpointError, match="TRISHIFT_MIRROR=hf://me/mirror: mirrors are folders or"):
        WeightSource(TSM).check()


def test_full_disk_and_read_only_homes_name_the_remedy(home: Path) -> None:
    for number in (errno.ENOSPC, errno.EROFS):
        with pytest.raises(HomeError, match="set TRISHIFT_HOME"), claimed(home), staged(home / "w.safetensors"):
            raise OSError(number, "refused")


def member(name: str, **attributes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([member("../outside", size=4)], "outside"),
        ([member("/tmp/absolute", size=4), member("b/other", size=4)], "several folders"),
        ([member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "link or device"),
        ([member("large", size=10**6)], "far more than weights would"),
        ([], "holds several folders"),
    ],
    ids=["traversal", "absolute", "link", "bomb", "empty"],
)
def test_hostile_archives_are_refused(
    members: list[tarfile.TarInfo], message: str, zoo: FileServer, home: Path, tmp_path: Path
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    zoo.files[f"/{FILES[FLUID]}"] = packed.getvalue()
    with pytest.raises(CheckpointError, match=message):
        WeightSource(FLUID).fetch()
    assert not (home / "weights" / "outside").exists() and not list(tmp_path.glob("outside"))
    assert not Path("/tmp/absolute").exists()


def test_bundle_carries_weights_without_a_network(
    zoo: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "weights.tar"
    assert command("models", "--bundle", bundle, TSM, FLUID) == 0
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("TRISHIFT_OFFLINE", "1")
    assert command("models", "--from-bundle", bundle) == 0
    assert f"unpacked: {TSM}" in capsys.readouterr().out
    assert all(WeightSource(name).fetch().is_file() for name in (TSM, FLUID))
    assert command("models", "--json") == 0
    states = {fact["name"]: fact["state"] for fact in json.loads(capsys.readouterr().out)}
    assert states == {TSM: "converted", VIDEO: "-", FLUID: "converted", "tsm-lost": "-"}
    assert command("models", "--bundle", tmp_path / "b.tar", VIDEO) == 1
    assert "TRISHIFT_OFFLINE" in capsys.readouterr().err


def test_one_missing_file_does_not_stop_the_other_downloads(
    zoo: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    del zoo.files[f"/{FILES[FLUID]}"], zoo.files[f"/{FILES[VIDEO]}"]
    assert command("models", "--download", "tsm-*") == 1
    shown = capsys.readouterr()
    assert f"{TSM}.safetensors" in shown.out and "its authors state no address" in shown.err
    assert f"3 of 4 are missing: {VIDEO}, {FLUID}, tsm-lost" in shown.err


def changed(change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]], bundle: Path) -> None:
    with tarfile.open(bundle) as tar:
        entries = [(info.name, tar.extractfile(info).read()) for info in tar]
    with tarfile.open(bundle, "w") as tar:
        for name, content in change(entries):
            tar.addfile(member(name, size=len(content)), io.BytesIO(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entries: entries[1:], "does not begin with SHA256SUMS"),
        (lambda entries: [*entries, ("../x", b"")], "is no published weight file"),
        (lambda entries: [entries[0], (entries[1][0], b"other")], "is damaged; copy the bundle again"),
        (lambda entries: [(entries[0][0], b"?"), entries[1]], "is not a sha256 and a path"),
    ],
)
def test_wrong_bundles_are_refused(
    change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]],
    message: str,
    zoo: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = tmp_path / "weights.tar"
    assert command("models", "--bundle", bundle, TSM) == 0
    changed(change, bundle)
    monkeypatch.setenv("TRISHIFT_HOME", str(tmp_path / "elsewhere"))
    assert command("models", "--from-bundle", bundle) == 1
    assert message in capsys.readouterr().err
    assert not [path for path in (tmp_path / "elsewhere").rglob("*.pth") if path.is_file()]


def test_killed_and_simultaneous_downloads_never_leave_a_wrong_file(server: FileServer, home: Path) -> None:
    server.files["/w.pth"] = small_zoo.one_tensor(os.urandom(2**20))
    server.chunk, server.pause = 2**15, 0.004  # at least 0.13 s per download
    script, digest = SUPPORT / "killed_downloads.py", sha(server.files["/w.pth"])
    kills, downloads = isolated.python(script, server.url, digest, TRISHIFT_HOME=str(home)).split()
    asked = [wanted for path, wanted in server.requests if path == "/w.pth"]
    assert int(kills) >= 20 and len(asked) > int(downloads) and len(set(asked)) > 2
    assert [path for path, _ in server.requests].count("/w.pth?twice") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["infer", "clip.mp4", "--checkpoint", "tsm-tiny"],
        ["features", "clip.mp4", "--output", "out", "--checkpoint", "tsm-tiny"],
        ["eval", "--config", "gestures/tsm", "--checkpoint", "tsm-tiny"],
        ["export", "--format", "onnx", "--checkpoint", "tsm-tiny"],
        ["inspect", "tsm-tiny"],
        ["probe", "clips", "--from", "tsm-tiny"],
        ["finetune", "clips", "--from", "tsm-tiny"],
        ["convert", "tsm-tiny", "out.ckpt"],
        ["train", "--config", "gestures/tsm", "train.initial_weights=tsm-tiny"],
        ["train", "--config", "gestures/tsm", "train.distillation.teachers=[tsm-tiny]"],
    ],
    ids=lambda words: words[0],
)
def test_every_command_takes_names(
    words: list[str],
    zoo: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "clips" / "a").mkdir(parents=True)
    (tmp_path / "clips" / "a" / "clip.mp4").touch()
    assert command(*words) == 1
    assert "tsm-tiny: no such file, and no published weights of that name; several are" in capsys.readouterr().err
    assert not zoo.requests
