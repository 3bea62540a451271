"""Fit a calibration to the logits of labeled videos, and measure it on them and, by cross-validation, on others.

1. One temperature minimizes the negative log-likelihood. The ranking of the classes does not change. If a list has no
   mistake, the likelihood only grows as the temperature falls; 1 is kept then, as nothing limits the confidence.
2. Each class gets the lowest threshold with the wanted precision, on the calibrated probabilities. With one label per
   video, only videos with this most likely class count. If fewer than `FEWEST` right predictions prove the precision,
   the threshold is the wanted precision itself, as calibrated probabilities are right that often.

Shape legend: V videos, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from trishift.data.prepare.splitting import split
from trishift.errors import DataError
from trishift.evaluation.calibration import Calibration
from trishift.evaluation.metrics import calibration_error, mean_nll, sigmoid, softmax
from trishift.evaluation.thresholds import least_threshold
from trishift.io.wording import counted, shown_first

LIMITS = (0.01, 100.0)  # of the temperature
FEWEST = 5  # videos of a class, and right predictions, that determine its threshold
FOLDS = 5
_FEWEST_PER_FOLD = 10  # videos
_NOISE = 0.01  # of the calibration error, which varies by more than that between lists
_HALVINGS = 60  # of an interval of logarithms: far below float64's resolution


@dataclass(frozen=True)
class Reliability:
    """What a calibration is worth on labeled videos.

    Attributes:
        calibration_error: expected calibration error, see `metrics.calibration_error`.
        nll: mean negative log-likelihood.
        precision: share of the predicted classes that are true; NaN if none is predicted.
        coverage: share of the videos with a predicted class.
    """

    calibration_error: float
    nll: float
    precision: float
    coverage: float


@dataclass(frozen=True)
class LabeledLogits:
    """Logits of labeled videos.

    Attributes:
        logits: (V, K).
        targets: (V,) class indices, or (V, K) zeros and ones.
        groups: (V,) group of each video; cross-validation keeps groups together.
    """

    logits: np.ndarray
    targets: np.ndarray
    groups: Sequence[str]

    @property
    def multi_label(self) -> bool:
        """Whether videos can have several labels."""
        return self.targets.ndim == 2

    def positives(self) -> np.ndarray:
        """(K,) videos of each class."""
        if self.multi_label:
            counts: np.ndarray = (self.targets > 0).sum(axis=0)
            return counts
        return np.bincount(self.targets, minlength=self.logits.shape[1])

    def select(self, chosen: np.ndarray) -> LabeledLogits:
        """The videos of a mask (V,)."""
        groups = [group for group, keep in zip(self.groups, chosen, strict=True) if keep]
        return LabeledLogits(self.logits[chosen], self.targets[chosen], groups)

    def check(self, names: Sequence[str]) -> None:
        """Refuse videos that cannot be calibrated on; `names` are theirs.

        Raises:
            DataError: there are none, their logits are not finite, or they have only one class.
        """
        if not len(self.logits):
            raise DataError("calibration: there are no labeled videos; give a validation list")
        finite = np.isfinite(self.logits).all(axis=1)
        if not finite.all():
            wrong = [name for name, fine in zip(names, finite, strict=True) if not fine]
            raise DataError(
                f"{wrong[0]}: its logits are not finite, like those of {len(wrong)} of {counted(len(names), 'video')}; "
                "the weights are damaged, train them again"
            )
        positives = self.positives()
        if (positives > 0).sum() < 2 and not (self.multi_label and 0 < positives.max() < len(names)):
            raise DataError(
                "calibration: all videos have the same class; give a list with the classes that the model will meet"
            )

    def reliability(self, calibration: Calibration) -> Reliability:
        """Measure a calibration on these videos."""
        probabilities = calibration.probabilities(self.logits)
        scaled = self.logits.astype(np.float64) / calibration.temperature
        return _reliability(probabilities, scaled, calibration.predicted(probabilities), self.targets)


def _reliability(
    probabilities: np.ndarray, scaled: np.ndarray, predicted: np.ndarray | None, targets: np.ndarray
) -> Reliability:
    if predicted is None:
        predicted = np.arange(scaled.shape[1]) == scaled.argmax(axis=1)[:, None]
    truth = targets > 0 if targets.ndim == 2 else np.arange(scaled.shape[1]) == targets[:, None]
    return Reliability(
        calibration_error=calibration_error(probabilities, targets),
        nll=mean_nll(scaled, targets),
        precision=float(truth[predicted].mean()) if predicted.any() else float("nan"),
        coverage=float(predicted.any(axis=1).mean()),
    )


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature within `LIMITS` with the least negative log-likelihood; 1 if nothing is predicted wrong.

    The likelihood is concave in 1 / temperature, so its slope has one zero, which bisection finds.

    Args:
        logits: (V, K).
        targets: (V,) class indices, or (V, K) zeros and ones.
    """
    logits = logits.astype(np.float64)
    if targets.ndim == 2:
        margins = np.where(targets > 0, logits, -logits)
        own, activation = logits[targets > 0].sum(), sigmoid
    else:
        rows = logits[np.arange(len(targets)), targets]
        margins, own, activation = rows - logits.max(axis=1), rows.sum(), softmax
    if (margins >= 0).all():
        return 1.0
    slope = _slope_of_nll(logits, float(own), activation)
    low, high = np.log(LIMITS)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(float(np.exp(-middle))) < 0 else (middle, high)
    return float(np.exp((low + high) / 2))


def _slope_of_nll(
    logits: np.ndarray, own: float, activation: Callable[[np.ndarray], np.ndarray]
) -> Callable[[float], float]:
    """The derivative of the sum of negative log-likelihoods with respect to 1 / temperature."""
    return lambda inverse: float((activation(logits * inverse) * logits).sum()) - own


def fit_calibration(videos: LabeledLogits, precision: float) -> tuple[Calibration, dict[int, str]]:
    """Fit temperature and thresholds.

    Args:
        videos: with finite logits, and two classes or more.
        precision: wanted share of right predictions, per class.

    Returns:
        The calibration, and for each class that gets `precision` as its threshold the reason.
    """
    temperature = fit_temperature(videos.logits, videos.targets)
    scores = Calibration(videos.multi_label, temperature).probabilities(videos.logits)
    thresholds, reasons = np.full(scores.shape[1], precision), {}
    for label, positives in enumerate(videos.positives()):
        if positives < FEWEST:
            reasons[label] = f"{counted(int(positives), 'video')} in the list, at least {FEWEST} are needed"
            continue
        chosen = np.ones(len(scores), bool) if videos.multi_label else scores.argmax(axis=1) == label
        truth = videos.targets[chosen, label] > 0 if videos.multi_label else videos.targets[chosen] == label
        found = least_threshold(scores[chosen, label], truth, precision, FEWEST) if truth.any() else None
        if found is None:
            reasons[label] = f"precision {precision:g} is not reached with {FEWEST} right predictions"
        else:
            thresholds[label] = found
    return Calibration(videos.multi_label, temperature, thresholds), reasons


def too_few(videos: int, groups: int | None = None) -> str:
    """Why a calibration cannot be fitted to some videos and measured on others; empty if it can."""
    if (groups is None or groups >= FOLDS) and videos >= FOLDS * _FEWEST_PER_FOLD:
        return ""
    divided = "" if groups is None else f" in {counted(groups, 'group')}"
    return (
        f"the list has {counted(videos, 'video')}{divided}, too few to fit to some and measure on others "
        f"({FOLDS * _FEWEST_PER_FOLD} in {FOLDS} groups are needed)"
    )


def cross_validate(videos: LabeledLogits, precision: float) -> Reliability | None:
    """Measure the calibration of `FOLDS` folds, each fitted to the other folds; None if there are too few videos."""
    if too_few(len(videos.logits), len(set(videos.groups))):
        return None
    classes = videos.targets.argmax(axis=1) if videos.multi_label else videos.targets
    fold_of = split(classes.tolist(), videos.groups, [1 / FOLDS] * FOLDS, seed=0)
    scaled = np.zeros(videos.logits.shape, np.float64)
    predicted = np.zeros(videos.logits.shape, bool)
    for fold in range(FOLDS):
        inside = fold_of == fold
        if not inside.any():
            continue
        fitted, _ = fit_calibration(videos.select(~inside), precision)
        scaled[inside] = videos.logits[inside].astype(np.float64) / fitted.temperature
        predicted[inside] = fitted.predicted(fitted.probabilities(videos.logits[inside]))
    probabilities = Calibration(videos.multi_label).probabilities(scaled)
    return _reliability(probabilities, scaled, predicted, videos.targets)


@dataclass(frozen=True)
class CalibrationStudy:
    """A calibration that was fitted to videos.

    Attributes:
        videos: the videos.
        before: the calibration that it replaces, with temperature 1.
        precision: wanted share of right predictions, per class.
    """

    videos: LabeledLogits
    before: Calibration
    precision: float

    @cached_property
    def _fitted(self) -> tuple[Calibration, dict[int, str]]:
        return fit_calibration(self.videos, self.precision)

    @property
    def calibration(self) -> Calibration:
        """The fitted calibration."""
        return self._fitted[0]

    @property
    def undetermined(self) -> dict[int, str]:
        """Classes whose threshold is the wanted precision itself, with the reason."""
        return self._fitted[1]

    @cached_property
    def measured(self) -> dict[str, Reliability]:
        """The reliability before, on the videos that were fitted to, and by cross-validation if there are enough."""
        validated = cross_validate(self.videos, self.precision)
        rows = {"before": self.before, "after": self.calibration}
        found = {name: self.videos.reliability(calibration) for name, calibration in rows.items()}
        return found if validated is None else {**found, "cross_validated": validated}

    def doubt(self) -> str:
        """Why the calibration is not known to help on other videos; empty if it is, or at least does no harm there."""
        before, after = self.measured["before"], self.measured.get("cross_validated")
        if after is None:
            return too_few(len(self.videos.logits), len(set(self.videos.groups)))
        if after.nll <= before.nll or after.calibration_error <= before.calibration_error + _NOISE:
            return ""
        return (
            f"on videos that were not fitted to, it raises the calibration error from {before.calibration_error:.2%} "
            f"to {after.calibration_error:.2%} and the NLL from {before.nll:.3f} to {after.nll:.3f}"
        )

    def entry(self, **context: Any) -> dict[str, Any]:
        """The entry of a checkpoint's metadata, with `context` added."""
        assert self.calibration.thresholds is not None
        return {
            "temperature": self.calibration.temperature,
            "thresholds": self.calibration.thresholds.tolist(),
            "precision": self.precision,
            "undetermined": sorted(self.undetermined),
            "videos": len(self.videos.logits),
            **{name: _plain(each) for name, each in self.measured.items()},
            **context,
        }

    def report(self, labels: Sequence[str]) -> str:
        """The temperature, a table of what it changes, and the thresholds; `labels` are the K class names."""
        assert self.calibration.thresholds is not None
        low, high = self.calibration.thresholds.min(), self.calibration.thresholds.max()
        return "\n".join(
            [
                self._temperature(),
                *self._table(),
                f"thresholds for precision {self.precision:g}: {low:.3f} to {high:.3f}",
                *self._classes(labels),
            ]
        )

    def _temperature(self) -> str:
        value = self.calibration.temperature
        if value == 1:
            return "temperature 1: the model makes no mistake on these videos, so nothing limits its confidence"
        if value > 0.99 * LIMITS[1]:
            return f"temperature {value:g}, the largest: the logits say nothing about these videos"
        direction = "overconfident" if value > 1 else "underconfident"
        return f"temperature {value:.3f}: the model was {direction}"

    def _table(self) -> list[str]:
        names = {
            "before": "before",
            "after": "after, on the videos that were fitted to",
            "cross_validated": f"after, on videos of {FOLDS} folds that were not fitted to",
        }
        width = max(len(names[name]) for name in self.measured)
        lines = [f"{'':{width}}  calibration error     NLL  precision  coverage"]
        for name, each in self.measured.items():
            precision = f"{each.precision:9.1%}" if each.coverage else f"{'-':>9}"
            figures = f"{each.calibration_error:17.2%}  {each.nll:6.3f}  {precision}  {each.coverage:8.1%}"
            lines.append(f"{names[name]:{width}}  {figures}")
        if "cross_validated" not in self.measured:
            lines.append(f"the second row is optimistic: {self.doubt()}")
        return lines

    def _classes(self, labels: Sequence[str]) -> list[str]:
        by_reason: dict[str, list[str]] = {}
        for label, reason in self.undetermined.items():
            by_reason.setdefault(reason, []).append(labels[label])
        if not by_reason:
            return []
        count = counted(len(self.undetermined), "class has", "classes have")
        return [
            f"{count} {self.precision:g} itself as threshold, because the videos do not determine one:",
            *(f"  {shown_first(names, 10)}: {reason}" for reason, names in by_reason.items()),
        ]


def _plain(reliability: Reliability) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else value for name, value in asdict(reliability).items()}
