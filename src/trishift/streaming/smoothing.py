"""Turns per-frame logits into a stable displayed class."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from trishift.errors import RecipeError
from trishift.evaluation.calibration import Calibration
from trishift.io.wording import counted


@dataclass(frozen=True)
class Smoothing:
    """Rule that selects the displayed class. The default displays the best class of each frame.

    A frame's candidate is the best class of the averaged logits; a masked candidate is replaced by the class displayed
    before, then aliases apply. A different candidate is displayed if the last `agreement` candidates were equal and
    the current class has been displayed for `hold` frames.

    Attributes:
        window: number of frames whose logits are averaged, including the current one.
        agreement: number of consecutive equal candidates required for a change (hysteresis); 1: change immediately.
        hold: minimum number of frames that a class is displayed; 1: change immediately.
        masked: classes that are never displayed.
        aliases: maps a class to the class displayed in its place.
        initial: class displayed before the first frame, with `hold` already met; None: the first candidate is
            displayed immediately.
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
            raise RecipeError(f"smoothing: class {wrong[0]} is masked; it cannot be initial or the target of an alias")

    @classmethod
    def original_demo(cls) -> Smoothing:
        """The rule of the online demo of temporal-shift-module, for its 27 Jester classes.

        Logits of 12 frames are summed. Rolling, turning and pulling a hand in (7, 8, 21, 22, 3) are masked, "doing
        other things" (0) counts as "no gesture" (2), and a change requires the last two displayed classes to be equal.
        The demo's history starts with a single entry, so an early change raises an IndexError there; here, "no
        gesture" counts as displayed long enough at the start.
        """
        return cls(window=12, hold=2, masked=frozenset({3, 7, 8, 21, 22}), aliases={0: 2}, initial=2)

    def check_classes(self, num_classes: int) -> None:
        """Raise a RecipeError if the settings do not fit a model of K classes."""
        initial = () if self.initial is None else (self.initial,)
        for label in (*self.masked, *self.aliases, *self.aliases.values(), *initial):
            if not 0 <= label < num_classes:
                raise RecipeError(
                    f"smoothing: class {label} does not exist; the model has {counted(num_classes, 'class')}"
                )
        if len(self.masked) == num_classes:
            raise RecipeError("smoothing: all classes are masked; leave at least one")


@dataclass(frozen=True)
class Shown:
    """The class displayed after a frame, and its probability under the averaged logits.

    Attributes:
        label: class number.
        probability: probability of the class.
        present: for models with thresholds, the predicted classes, most likely first; empty: nothing. Otherwise None.
    """

    label: int
    probability: float
    present: tuple[int, ...] | None = None


class Smoother:
    """Applies `Smoothing` to one video.

    Args:
        smoothing: the rule. For multi-label models, `window` applies to all classes and the rest to the best one.
        calibration: that of the model.
    """

    def __init__(self, smoothing: Smoothing, calibration: Calibration | None = None) -> None:
        self.smoothing = smoothing
        self.calibration = calibration or Calibration()
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
        scores = self.calibration.probabilities(mean)
        return Shown(self._shown, float(scores[self._shown]), self._present(scores, self._shown))

    def _present(self, scores: np.ndarray, shown: int) -> tuple[int, ...] | None:
        thresholds = self.calibration.thresholds
        if thresholds is None:
            return None
        candidates = np.argsort(-scores, kind="stable") if self.calibration.multi_label else [shown]
        return tuple(int(c) for c in candidates if scores[c] >= thresholds[c])

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
