"""Read frames from a source without falling behind."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from trishift.errors import DataError
from trishift.streaming.source import Frame, Source


class NewestFrames:
    """Iterate over a live source, skipping frames that the consumer is too slow for.

    A thread reads all frames, and the consumer always receives the newest one (or the oldest of the newest `keep`).
    Unlike a queue, whose delay grows behind a slow consumer, this drops any frame that isn't taken in time. Iterate
    only once.

    Args:
        frames: read in a thread once iteration starts.
        timeout: seconds without a frame after which the source counts as dropped.
        keep: number of newest frames kept until they are taken, in order.

    Attributes:
        newest: number of the newest frame read so far; -1 before the first.
        dropped: number of frames that were read but not taken.
    """

    def __init__(self, frames: Iterable[Frame], timeout: float = 10.0, keep: int = 1) -> None:
        self.newest = -1
        self.dropped = 0
        self._frames, self._timeout = frames, timeout
        self._changed = threading.Condition()
        self._waiting: deque[Frame] = deque(maxlen=keep)
        self._error: BaseException | None = None
        self._ended = self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frame, waiting for one if necessary.

        Raises:
            DataError: the source dropped, or sent nothing for `timeout` seconds.
        """
        thread = threading.Thread(target=self._read, name="frames", daemon=True)
        thread.start()
        try:
            while (frame := self._take()) is not None:
                yield frame
        finally:
            self._closed = True
            thread.join(1.0)  # the thread ends at the next frame; don't wait forever for one

    def _read(self) -> None:
        """Read all frames; runs in the thread."""
        try:
            for frame in self._frames:
                if self._closed:
                    return
                self._put(frame)
        except BaseException as error:  # raised again in `_take`
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()

    def _put(self, frame: Frame) -> None:
        with self._changed:
            self.dropped += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(frame)
            self.newest = frame.number
            self._changed.notify()

    def _take(self) -> Frame | None:
        """The next frame that is kept; None at the end."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting or self._ended, self._timeout):
                raise DataError(f"no frame arrived for {self._timeout:g} s; check the source or raise --timeout")
            frame = self._waiting.popleft() if self._waiting else None
        if frame is None and self._error is not None:
            raise self._error
        return frame


def reconnecting(
    source: Source, attempts: int, wait: float = 1.0, notify: Callable[[str], None] = lambda message: None
) -> Iterator[Frame]:
    """Yield the frames of a source, reopening it when it ends or drops.

    Frame numbers continue across connections, and `connection` counts up.

    Args:
        source: source to read.
        attempts: consecutive attempts without a frame before the error is final; 0: never reopen.
        wait: seconds between attempts.
        notify: called with a message before each attempt.

    Raises:
        DataError: the source dropped and could not be reopened.
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
    """Iterate over every `stride`-th frame."""
    return (frame for frame in frames if frame.number % stride == 0)
