"""Timelines as a copy of the video with a bar below: the class, its probability, and a strip of all events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from trishift.data.video import source_of
from trishift.errors import DataError
from trishift.reporting.fonts import font_files
from trishift.reporting.mp4 import CLOCK, mp4_file
from trishift.reporting.timelines.content import TimelineContent
from trishift.streaming.events import Event, Reading

_BAR = 0.16  # share of the picture's height
_LEAST_BAR = 40  # pixels
_COPIED = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})  # sound that MP4 files hold
_GROUND, _INK, _SOFT = (24, 27, 31), (240, 242, 245), (62, 69, 77)


def write_film(content: TimelineContent, path: Path) -> None:
    """Write an MP4 file with the bar, and with the sound of the video.

    Raises:
        DataError: there is no file to read again, it cannot be read, or FFmpeg has no H.264 encoder.
        OutputError: the file cannot be written.
    """
    recording = content.recording
    if recording is None:
        raise DataError(f"{content.video}: cannot be read again for {path}; save the video to a file first")
    heard = av.open(source_of(recording.file), metadata_errors="replace") if recording.is_video else nullcontext()
    with mp4_file(path) as film, heard as sound:
        packets: _Sound | None = None
        time = 0.0
        for frame in recording.frames():
            image, time = frame.image, frame.time
            if packets is None:
                painter, begin = _Painter(content, *image.shape[:2]), time
                film.set_size(*painter.size)
                packets = _Sound(film.output, sound, begin)
            packets.write_until(time - begin)
            film.add(painter.painted(image, time), time - begin)
        film.finish()
        if packets is not None:
            packets.finish(time - begin + 1 / CLOCK if recording.is_part else float("inf"))


class _Sound:
    """Copies the sound of a file, or encodes it as AAC where MP4 files cannot hold it.

    Args:
        output: the new container.
        heard: the video, opened once more; None for pictures.
        begin: time of the first picture that is written, in seconds after the first of the video.
    """

    def __init__(self, output: Any, heard: Any, begin: float) -> None:
        self._output, self._stream = output, None
        self._packets: Iterator[Any] = iter(())
        self._waiting: Any = None
        found = heard.streams.best("audio") if heard is not None else None
        if found is None:
            return
        video = heard.streams.best("video")
        self._begin = begin + float((video.start_time or 0) * (video.time_base or 0))
        self._copies = found.codec_context.name in _COPIED
        if self._copies:
            self._stream = output.add_stream_from_template(found)
        else:
            self._stream = output.add_stream("aac", rate=found.codec_context.sample_rate)
        self._packets = (packet for packet in heard.demux(found) if packet.dts is not None)

    def write_until(self, time: float) -> None:
        """Write the sound up to a time, in seconds after the first picture that is written."""
        while packet := self._waiting or next(self._packets, None):
            now = float(packet.dts * packet.time_base) - self._begin
            self._waiting = packet if now > time else None
            if now > time:
                return
            if now >= 0:
                self._write(packet)

    def finish(self, time: float) -> None:
        """Write the rest up to a time."""
        self.write_until(time)
        if self._stream is not None and not self._copies:
            self._output.mux(self._stream.encode())

    def _write(self, packet: Any) -> None:
        assert self._stream is not None
        shift = round(self._begin / packet.time_base)
        if self._copies:
            packet.pts, packet.dts = (packet.dts if packet.pts is None else packet.pts) - shift, packet.dts - shift
            packet.stream = self._stream
            self._output.mux(packet)
            return
        for frame in packet.decode():
            frame.pts = None if frame.pts is None else frame.pts - round(self._begin / frame.time_base)
            self._output.mux(self._stream.encode(frame))


class _Painter:
    """Draws the bar below pictures of one size."""

    def __init__(self, content: TimelineContent, height: int, width: int) -> None:
        self._content, self._height, self._width = content, height, width - width % 2
        bar = max(_LEAST_BAR, round(_BAR * height))
        self._bar = bar + (height + bar) % 2
        self.size = height + self._bar, self._width
        self._font = font_files(content.name(event) for event in content.events)[-1]
        self._strip = self._draw_strip()
        self._probabilities = _Probabilities(content.readings())
        self._text = lru_cache(maxsize=8)(self._draw_text)

    def painted(self, image: np.ndarray, time: float) -> np.ndarray:
        """A picture (H, W, 3) uint8 with the bar of its time: (H + bar, W or W - 1, 3)."""
        if image.shape[:2] != (self._height, self._width + image.shape[1] % 2):  # the size changed
            image = np.asarray(Image.fromarray(image).resize((self._width, self._height)))
        events = [event for event in self._content.events if event.start <= time < event.end]
        probabilities = self._probabilities.at(time)
        share = max((probabilities.get(event.label, 0.0) for event in events), default=0.0)
        bar = self._text(tuple(events), round(share * self._width)).copy()
        top = self._bar - len(self._strip)
        bar[top:] = self._strip
        head = max(0, min(self._width - 1, int(self._width * self._content.share(time))))
        bar[top:, max(0, head - 1) : head + 1] = _INK
        return np.concatenate([image[:, : self._width], bar])

    def _draw_text(self, events: tuple[Event, ...], filled: int) -> np.ndarray:
        picture = Image.new("RGB", (self._width, self._bar), _GROUND)
        draw = ImageDraw.Draw(picture)
        top = round(0.5 * self._bar)
        draw.rectangle((0, top, self._width, top + self._bar // 10), _SOFT)
        if events:
            color = ImageColor.getrgb(self._content.color(events[0].label))
            draw.rectangle((0, top, filled, top + self._bar // 10), color)
        text = ", ".join(self._content.caption(event) for event in events) or "–"
        draw.text((4, self._bar // 4), text, _INK, self._fitting(text), anchor="lm")
        return np.array(picture)

    def _fitting(self, text: str) -> ImageFont.FreeTypeFont:
        """The font in the size at which a text fits into the bar."""
        size = round(0.34 * self._bar)
        width = ImageFont.truetype(self._font, size).getlength(text)
        return ImageFont.truetype(self._font, max(4, min(size, int(size * (self._width - 8) / max(width, 1)))))

    def _draw_strip(self) -> np.ndarray:
        """The events of the whole video: (h, W, 3)."""
        picture = Image.new("RGB", (self._width, round(0.3 * self._bar)), _SOFT)
        draw = ImageDraw.Draw(picture)
        for event in self._content.events:
            left, right = (self._width * self._content.share(time) for time in (event.start, event.end))
            area = (left, 2, max(left, right - 1), picture.height - 3)
            draw.rectangle(area, ImageColor.getrgb(self._content.color(event.label)))
        return np.array(picture)


class _Probabilities:
    """The probabilities of the window nearest to a time, for times that only grow."""

    def __init__(self, readings: Iterator[Reading]) -> None:
        self._pairs = pairwise(readings)
        self._current: Reading | None
        self._next: Reading | None
        self._current, self._next = next(self._pairs, (None, None))

    def at(self, time: float) -> dict[int, float]:
        """Class number to probability; empty if the timeline has a single window."""
        while self._next is not None and self._current is not None and _nearer(self._next, self._current, time):
            self._current, self._next = next(self._pairs, (self._next, None))
        return {} if self._current is None else self._current.probabilities


def _nearer(one: Reading, other: Reading, time: float) -> bool:
    return abs(one.start + one.end - 2 * time) < abs(other.start + other.end - 2 * time)
