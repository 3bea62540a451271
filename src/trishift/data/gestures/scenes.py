"""Scenes: the gesture of one hand, or of each of two hands."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from trishift.data.gestures.motion import FRAMES, PAIRS, STILL, beside, stillness, trajectory

_STILLNESS = len(PAIRS)  # used as a pair number


@dataclass(frozen=True)
class Hand:
    """The first class of pair number `pair`, or if `backwards` the second: the same motion reversed."""

    pair: int
    backwards: bool = False

    @property
    def opposite(self) -> Hand:
        """The same motion with time reversed."""
        return Hand(self.pair, not self.backwards)

    @property
    def class_name(self) -> str:
        """Class name of the gesture."""
        return STILL if self.pair == _STILLNESS else PAIRS[self.pair][self.backwards]


Scene = tuple[Hand, ...]


def scenes(hands: int) -> tuple[Scene, ...]:
    """All scenes, without those that are the reverse of another.

    Two hands make different gestures; one of them may rest.
    """
    if hands == 1:
        return tuple((Hand(pair),) for pair in range(_STILLNESS + 1))
    different = [
        (Hand(first), Hand(second, backwards))
        for first, second in combinations(range(_STILLNESS + 1), 2)
        for backwards in ((False,) if second == _STILLNESS else (False, True))
    ]
    return (*different, *((Hand(pair), Hand(pair, True)) for pair in range(_STILLNESS)))


def class_names(scene: Scene) -> tuple[str, ...]:
    """The gesture of each hand."""
    return tuple(hand.class_name for hand in scene)


def reverse(scene: Scene) -> Scene:
    """The scene with time reversed."""
    return tuple(hand.opposite for hand in scene)


def is_symmetric(scene: Scene) -> bool:
    """Whether the reverse shows the same gestures."""
    return sorted(class_names(scene)) == sorted(class_names(reverse(scene)))


def num_kinds(hands: int) -> int:
    """Number of scenes and their reverses, counting symmetric ones once."""
    return sum(1 if is_symmetric(scene) else 2 for scene in scenes(hands))


def draw_motion(scene: Scene, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw the trajectory (F, 4) of each hand, see `motion`; two hands are side by side."""
    if len(scene) == 1:
        return [_performance(scene[0], rng)]
    frames = int(rng.integers(FRAMES[0], FRAMES[1] + 1))
    sides = rng.permutation([-1, 1])
    return [beside(_performance(hand, rng, frames), side) for hand, side in zip(scene, sides, strict=True)]


def _performance(hand: Hand, rng: np.random.Generator, frames: int | None = None) -> np.ndarray:
    if hand.pair == _STILLNESS:
        return stillness(rng, frames)
    poses = trajectory(hand.pair, rng, frames)
    return poses[::-1] if hand.backwards else poses
