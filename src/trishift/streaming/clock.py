"""The times of frames, from time stamps that may be missing or jump."""

from __future__ import annotations

UNKNOWN_FPS = 30.0  # assumed for pictures without timestamps
_JITTER = 1.0  # seconds; time stamps may go back by less without starting anew


class Clock:
    """Seconds since the first picture, which never decrease.

    A picture without a time stamp follows the previous one after the same step. After a jump back of more than
    `_JITTER`, as in joined recordings, times continue from the picture before.

    Args:
        start: time stamp of the first picture, if a later one is read first.

    Attributes:
        jumps: number of jumps back.
        end: seconds at which the last picture ends, if it is shown as long as the one before it.
    """

    def __init__(self, start: float | None = None) -> None:
        self.jumps = 0
        self._start = start
        self._last, self._step = 0.0, 1 / UNKNOWN_FPS

    @property
    def end(self) -> float:
        """Seconds at which the last picture ends."""
        return 0.0 if self._start is None else self._last + self._step

    def read(self, stamp: float | None) -> float:
        """The time of the next picture, from its time stamp in seconds."""
        if self._start is None:
            self._start = stamp or 0.0
            return 0.0
        now = self.end if stamp is None else stamp - self._start
        if now < self._last - _JITTER:
            self.jumps += 1
            now = self.end
            self._start = (stamp or 0.0) - now
        elif now > self._last:
            self._step = now - self._last
        self._last = max(now, self._last)
        return self._last
