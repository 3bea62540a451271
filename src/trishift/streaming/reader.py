"""Frames of a source in the order and at the pace that a consumer can bear."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from trishift.errors import DataError
from trishift.streaming.sources import Frame, Source


class NewestFrames:
    """Frames of something live: a thread reads them all, and the consumer always gets the newest one.

    A queue would grow behind a slow consumer, and with it the delay; here a frame that is not taken before the next
    one comes is dropped, and what the consumer gets is at most one frame old. Iterate once.

    Args:
        frames: read in the thread, from the beginning of the iteration on.
        timeout: seconds without any frame after which the source counts as dropped.

    Attributes:
        newest: number of the newest frame read so far; -1 before the first.
        dropped: frames that were read but not taken.
    """

    def __init__(self, frames: Iterable[Frame], timeout: float = 10.0) -> None:
        self.newest = -1
        self.dropped = 0
        self._frames, self._timeout = frames, timeout
        self._changed = threading.Condition()
        self._slot: Frame | None = None
        self._error: BaseException | None = None
        self._ended = self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        """The newest frame whenever the consumer asks; waits for one if need be.

        Raises:
            DataError: the source dropped, or nothing came for `timeout` seconds.
        """
        thread = threading.Thread(target=self._read, name="frames", daemon=True)
        thread.start()
        try:
            while (frame := self._take()) is not None:
                yield frame
        finally:
            self._closed = True
            thread.join(1.0)  # it ends at the next frame; where none comes, the process need not wait

    def _read(self) -> None:
        """What the thread does."""
        try:
            for frame in self._frames:
                if self._closed:
                    return
                self._put(frame)
        except BaseException as error:  # raised again where the frames are taken
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()

    def _put(self, frame: Frame) -> None:
        with self._changed:
            self.dropped += self._slot is not None
            self._slot, self.newest = frame, frame.number
            self._changed.notify()

    def _take(self) -> Frame | None:
        """The newest frame; None at the end."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._slot is not None or self._ended, self._timeout):
                raise DataError(f"no frame came for {self._timeout:g} s; check the source or raise --timeout")
            frame, self._slot = self._slot, None
        if frame is None and self._error is not None:
            raise self._error
        return frame


def reconnecting(
    source: Source, attempts: int, wait: float = 1.0, notify: Callable[[str], None] = lambda message: None
) -> Iterator[Frame]:
    """Frames of a source that is opened again when it ends or drops; numbers go on, `connection` counts up.

    Args:
        source: what to read.
        attempts: how often in a row it is opened without a single frame coming before the error is final; 0: never
            open it again, and let it end.
        wait: seconds between two attempts.
        notify: told of every attempt.

    Raises:
        DataError: the source dropped, and did not come back.
    """
    number = connection = 0
    attempts_left = attempts
    while True:
        try:
            for frame in source.frames():
                attempts_left = attempts
                yield replace(frame, number=number, connection=connection)
                number += 1
            if not attempts:
                return
            reason = f"{source.name}: ended"
        except DataError as error:
            if not attempts:
                raise
            reason = str(error)
        if not attempts_left:
            raise DataError(f"{reason}; gave up after {attempts} attempts")
        attempts_left -= 1
        connection += 1
        notify(f"{reason}; trying again")
        time.sleep(wait)


def strided(frames: Iterable[Frame], stride: int) -> Iterator[Frame]:
    """Every `stride`-th frame."""
    return (frame for frame in frames if frame.number % stride == 0)
