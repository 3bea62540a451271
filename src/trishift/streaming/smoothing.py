"""From the logits of every frame to a class that does not flicker."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from trishift.errors import RecipeError
from trishift.evaluation.metrics import to_probabilities


@dataclass(frozen=True)
class Smoothing:
    """How the class that is shown follows the logits. The default shows the best class of each frame.

    A frame's candidate is the best class of the averaged logits; a masked one is replaced by the class shown
    before, then aliases apply. A candidate that differs from the class shown becomes the class shown if the last
    `agreement` candidates were equal and the class shown has been so for `hold` frames.

    Attributes:
        window: frames whose logits are averaged, the current one included.
        agreement: equal candidates in a row that a change needs (hysteresis); 1: changes at once.
        hold: frames for which a class is shown at least; 1: changes at once.
        masked: classes that are never shown.
        aliases: class to the class that stands for it.
        initial: the class shown before the first frame, as if for long; None: the first candidate is shown at once.
    """

    window: int = 1
    agreement: int = 1
    hold: int = 1
    masked: frozenset[int] = frozenset()
    aliases: Mapping[int, int] = field(default_factory=dict)
    initial: int | None = None

    def __post_init__(self) -> None:
        for name in ("window", "agreement", "hold"):
            if getattr(self, name) < 1:
                raise RecipeError(f"smoothing: {name} must be 1 or more, not {getattr(self, name)}")
        wrong = [label for label in (*self.aliases.values(), self.initial) if label in self.masked]
        if wrong:
            raise RecipeError(f"smoothing: class {wrong[0]} is masked; it cannot be initial or stand for another")

    @classmethod
    def original_demo(cls) -> Smoothing:
        """The rule of the online demo of temporal-shift-module, for its 27 Jester classes.

        Logits of 12 frames are added up; rolling, turning and pulling a hand in (7, 8, 21, 22, 3) are masked, "doing
        other things" (0) counts as "no gesture" (2), and a change needs the last two shown classes to be equal. The
        demo's history began with a single entry, so that an early change ended it with an IndexError; here, "no
        gesture" counts as shown for long at the beginning.
        """
        return cls(window=12, hold=2, masked=frozenset({3, 7, 8, 21, 22}), aliases={0: 2}, initial=2)

    def check_classes(self, num_classes: int) -> None:
        """Raise a RecipeError where the settings do not fit a model of K classes."""
        initial = () if self.initial is None else (self.initial,)
        for label in (*self.masked, *self.aliases, *self.aliases.values(), *initial):
            if not 0 <= label < num_classes:
                raise RecipeError(f"smoothing: class {label} does not exist; the model has {num_classes} classes")
        if len(self.masked) == num_classes:
            raise RecipeError("smoothing: all classes are masked; leave at least one")


@dataclass(frozen=True)
class Shown:
    """The class shown after a frame, and its probability under the averaged logits.

    Attributes:
        present: where a frame can have several labels, the classes above their thresholds, most likely first.
    """

    label: int
    probability: float
    present: tuple[int, ...] | None = None


class Smoother:
    """`Smoothing` at work on one video.

    Args:
        smoothing: the rule. Where a frame can have several labels, the window smooths all; the rest is about the best.
        thresholds: (K,) probabilities of a model for several labels; None for one of one label.
    """

    def __init__(self, smoothing: Smoothing, thresholds: np.ndarray | None = None) -> None:
        self.smoothing = smoothing
        self._thresholds = thresholds
        self.reset()

    def reset(self) -> None:
        """Begin a new video."""
        self._logits: deque[np.ndarray] = deque(maxlen=self.smoothing.window)
        self._candidates: deque[int] = deque(maxlen=self.smoothing.agreement)
        self._shown = self.smoothing.initial
        self._shown_for = self.smoothing.hold

    def update(self, logits: np.ndarray) -> Shown:
        """The class to show after a frame with these logits (K,)."""
        self._logits.append(np.asarray(logits, np.float64))
        mean = np.mean(self._logits, axis=0)
        candidate = self._candidate(mean)
        self._candidates.append(candidate)
        if self._shown is None or (candidate != self._shown and self._may_change()):
            self._shown, self._shown_for = candidate, 0
        self._shown_for += 1
        scores = to_probabilities(mean, multi_label=self._thresholds is not None)
        return Shown(self._shown, float(scores[self._shown]), self._present(scores))

    def _present(self, scores: np.ndarray) -> tuple[int, ...] | None:
        if self._thresholds is None:
            return None
        return tuple(int(c) for c in np.argsort(-scores, kind="stable") if scores[c] >= self._thresholds[c])

    def _candidate(self, mean: np.ndarray) -> int:
        best = int(mean.argmax())
        if best in self.smoothing.masked:
            best = self._best_unmasked(mean) if self._shown is None else self._shown
        return self.smoothing.aliases.get(best, best)

    def _best_unmasked(self, mean: np.ndarray) -> int:
        """For the first frame, which has no class before it."""
        allowed = [label for label in range(len(mean)) if label not in self.smoothing.masked]
        return max(allowed, key=lambda label: mean[label])

    def _may_change(self) -> bool:
        agreed = len(self._candidates) == self.smoothing.agreement and len(set(self._candidates)) == 1
        return agreed and self._shown_for >= self.smoothing.hold
