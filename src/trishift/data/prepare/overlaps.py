"""Labeled spans of one video, in frames: what overlaps, and what lies between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

SHARE = 0.5  # of a span's length: an overlap that long makes the other label true for the span, too


@dataclass(frozen=True)
class Overlap:
    """Two spans with different labels that share frames.

    Attributes:
        first, second: their places in the sequence.
        first_share, second_share: shared frames over the frames of each.
    """

    first: int
    second: int
    first_share: float
    second_share: float

    @property
    def is_double(self) -> bool:
        """Whether one of the spans has both labels for half of its length or more."""
        return max(self.first_share, self.second_share) >= SHARE


def overlaps(spans: Sequence[range], labels: Sequence[str]) -> Iterator[Overlap]:
    """Yield the overlaps of spans with different labels."""
    order = sorted(range(len(spans)), key=lambda place: (spans[place].start, spans[place].stop))
    for rank, first in enumerate(order):
        for second in order[rank + 1 :]:
            shared = min(spans[first].stop, spans[second].stop) - spans[second].start
            if shared <= 0:
                break  # later spans begin later
            if labels[first] != labels[second]:
                yield Overlap(first, second, shared / len(spans[first]), shared / len(spans[second]))


def gaps(covered: Iterable[range], num_frames: int, margin: int, shortest: int, longest: int) -> list[range]:
    """The spans of a video that nothing covers.

    Args:
        covered: labeled spans.
        num_frames: length of the video.
        margin: frames to keep away from labeled spans.
        shortest: fewest frames of a span; shorter ones are left out.
        longest: most frames; longer gaps are cut into equal spans.
    """
    found, end = [], 0
    for span in sorted((*covered, range(num_frames + margin, num_frames + margin)), key=lambda span: span.start):
        start = end and end + margin
        stop = min(span.start - margin, num_frames)
        if stop - start >= max(shortest, 1):
            pieces = ceil((stop - start) / longest)
            if (stop - start) // pieces < shortest:  # equal ones would be too short: leave the rest out
                pieces -= 1
                stop = start + pieces * longest
            edges = [start + (stop - start) * number // pieces for number in range(pieces + 1)]
            found += [range(*pair) for pair in pairwise(edges)]
        end = max(end, span.stop)
    return found
