"""What an audit says in plain words: whether time is needed, by which classes, and which network suits.

A loss is clear if the 95 % interval of the paired difference, a bootstrap over groups, lies above zero.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from trishift.evaluation.auditing import VARIANTS, Audited
from trishift.evaluation.intervals import Interval, gain, interval, majority_metrics, video_values
from trishift.io.terminal import printable
from trishift.io.text_table import aligned
from trishift.io.wording import counted
from trishift.model.online import frames_are_independent

Kind = Literal["not learned", "frames", "mostly frames", "several frames", "order", "too few clips"]
_KEPT = 0.8  # of what is above chance: single frames do for most
_ENOUGH = 0.01  # loss of accuracy that fewer segments may cost
_FEW = 5  # clips of a class about which nothing is said
_FEW_SEGMENTS = 4  # for which relations suit
_SAID = {
    "not learned": "not learned: no better than chance",
    "frames": "single frames do",
    "mostly frames": "single frames do for most clips",
    "several frames": "time needed: several frames, in any order",
    "order": "time needed: the order of the frames",
    "too few clips": f"fewer than {_FEW} clips or a single group: nothing is said",
}


@dataclass(frozen=True)
class Finding:
    """About all videos or those of a class.

    Attributes:
        videos: their number.
        accuracy: as trained.
        chance: what knowing nothing reaches.
        reached: alteration to the accuracy under it.
        losses: alteration to the loss against the clips as they are.
        kind: what tells the classes.
        becomes: the class that most of the videos are taken for when they are played backward, and its share.
    """

    videos: int
    accuracy: Interval
    chance: float
    reached: dict[str, float]
    losses: dict[str, Interval]
    kind: Kind
    becomes: tuple[str, float] | None = None

    @property
    def needs_time(self) -> bool:
        """Whether single frames clearly lose too much."""
        return self.kind in ("several frames", "order")


@dataclass(frozen=True)
class Findings:
    """The findings of an audit."""

    audited: Audited

    @property
    def is_blind(self) -> bool:
        """Whether the network averages its frames, so that it cannot use their order."""
        return frames_are_independent(self.audited.spec) and self.audited.spec.head.consensus == "average"

    @cached_property
    def overall(self) -> Finding:
        """About all videos."""
        targets = self.audited.targets
        known = targets.any(axis=1) if targets.ndim == 2 else np.ones(len(targets), bool)
        counts = targets.sum(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=len(self.audited.labels))
        metrics = majority_metrics(counts, targets)
        return self._finding(known, float(metrics.sample_map if targets.ndim == 2 else metrics.top1))  # type: ignore[union-attr]

    @cached_property
    def classes(self) -> dict[str, Finding]:
        """About each class that occurs; empty with several labels per video."""
        targets = self.audited.targets
        if targets.ndim == 2:
            return {}
        chance = 1 / len(self.audited.labels)
        occurring = np.unique(targets).tolist()
        return {self.audited.labels[place]: self._finding(targets == place, chance, place) for place in occurring}

    @cached_property
    def enough(self) -> int:
        """The fewest segments that lose less than a point, or not clearly anything, as all larger numbers do."""
        fewest = self.audited.spec.num_segments
        for count in sorted((int(name) for name in self.audited.scores if name not in VARIANTS), reverse=True):
            loss = self.overall.losses[str(count)]
            if loss.low > 0 and loss.mean >= _ENOUGH:
                break
            fewest = count
        return fewest

    def _finding(self, chosen: np.ndarray, chance: float, own: int | None = None) -> Finding:
        audited = self.audited
        groups = [group for group, wanted in zip(audited.groups, chosen, strict=True) if wanted]
        values = {name: video_values(rows[chosen], audited.targets[chosen]) for name, rows in audited.scores.items()}
        base = values["as trained"]
        losses = {name: gain(base, each, groups) for name, each in values.items() if name != "as trained"}
        accuracy = interval(base, groups)
        reached = {name: float(each.mean()) for name, each in values.items()}
        few = len(set(groups)) < 2 or (own is not None and len(base) < _FEW)
        kind: Kind = "too few clips" if few else _kind(accuracy, chance, reached, losses)
        return Finding(len(base), accuracy, chance, reached, losses, kind, self._becomes(chosen, own))

    def _becomes(self, chosen: np.ndarray, own: int | None) -> tuple[str, float] | None:
        if own is None:
            return None
        taken = Counter(self.audited.scores["backward"][chosen].argmax(axis=1).tolist())
        label, count = taken.most_common(1)[0]
        return None if label == own else (self.audited.labels[label], count / int(chosen.sum()))

    # Words

    @property
    def verdict(self) -> str:
        """Whether the task needs time."""
        found, network = self.overall, self.network
        if found.kind == "too few clips":
            return (
                "all clips belong to one group, such as one video, which says nothing about others, so nothing is said"
            )
        if found.kind == "not learned":
            return (
                f"this network ({network}) is not clearly better than chance ({found.chance:.1%}), so nothing is said"
            )
        if self.is_blind:
            return (
                f"this network ({network}) averages its frames and cannot use their order; audit a TSM or TRN of the "
                "same clips to see whether time is needed"
            )
        single, loss = found.reached["single frames"], found.losses["single frames"]
        return (
            f"{_SAID[found.kind]}: frames one by one reach {single:.1%} instead of {found.accuracy.mean:.1%}, "
            f"a loss of {_points(loss)}"
        )

    @property
    def network(self) -> str:
        """The network's kind and its segments."""
        spec = self.audited.spec
        relations = spec.head.consensus != "average"
        kind = spec.motion.title if spec.motion else "TRN" if relations else "TSM" if spec.shift else "TSN"
        return f"{kind} with {counted(spec.num_segments, 'segment')}"

    def advice(self) -> list[str]:
        """Network, segments and background, one sentence each."""
        found, segments = self.overall, counted(self.enough, "segment")
        if found.kind == "not learned":
            return ["train it further, or check its labels"]
        if found.kind == "too few clips":
            return ["audit clips of several videos, or give the list other groups"]
        lines = []
        if self.is_blind:
            kept = self.enough == self.audited.spec.num_segments
            words = f"this TSN needs its {segments}" if kept else f"{segments} are enough for this TSN"
            lines.append(f"{words}; whether a TSM is better, only training one tells")
        elif not found.needs_time:
            saved = " and reads fewer frames" if self.enough < self.audited.spec.num_segments else ""
            lines.append(f"a TSN with {segments} should do: it has no shift{saved}")
        elif found.kind == "several frames":
            lines.append(f"a TSN with {segments} may do, as the order does not matter; a TSM is the safe choice")
        elif self.enough <= _FEW_SEGMENTS:
            lines.append(f"a TRN with {segments}, or a TSM: a few frames in the right order are enough")
        else:
            lines.append(f"a TSM with {segments}: the motion between neighboring frames matters")
        if str(self.enough) in found.losses:
            loss = _points(found.losses[str(self.enough)])
            lines.append(f"{segments} instead of {self.audited.spec.num_segments} lose {loss}")
        reached = self.interval_of("still border")
        if reached.low > found.chance:
            lines.append(
                f"the still border of the pictures alone reaches {reached.mean:.1%}, chance is {found.chance:.1%}: the "
                "background tells classes; check that all classes were filmed in the same places"
            )
        return lines

    def interval_of(self, name: str) -> Interval:
        """The interval of the main metric under an alteration."""
        targets, groups = self.audited.targets, self.audited.groups
        if targets.ndim == 2:
            groups = [group for group, row in zip(groups, targets, strict=True) if row.any()]
        return interval(video_values(self.audited.scores[name], targets), groups)

    def told_by(self, label: str) -> str:
        """What tells a class, in plain words."""
        found = self.classes[label]
        if self.is_blind and found.kind not in ("too few clips", "not learned"):
            return "frames, as this network sees no order"
        words = _SAID[found.kind]
        if found.needs_time and found.becomes is not None:
            other, share = found.becomes
            words += f"; played backward, {share:.0%} are taken for {printable(other)}"
        return words

    def report(self) -> str:
        """Verdict, tables and advice."""
        found = self.overall
        rows = [("", self.metric, "loss, in points")]
        rows += [(words, f"{found.reached[name]:.1%}", self.loss(name)) for name, words in self.names.items()]
        lines = [self.verdict, "", *aligned(rows, "<><")]
        if self.classes:
            head = ("class", "clips", "as trained", "single frames", "backward", "told by")
            shown = [
                (
                    *(printable(label), str(each.videos), f"{each.accuracy.mean:.0%}"),
                    *(f"{each.reached['single frames']:.0%}", f"{each.reached['backward']:.0%}", self.told_by(label)),
                )
                for label, each in self.classes.items()
            ]
            lines += ["", *aligned([head, *shown], "<>>>><")]
        return "\n".join([*lines, "", *(f"advice: {line}" for line in self.advice())])

    @property
    def metric(self) -> str:
        """Name of the main metric."""
        return "mAP" if self.audited.targets.ndim == 2 else "top-1"

    @property
    def names(self) -> dict[str, str]:
        """The alterations in words."""
        fewer = (name for name in self.audited.scores if name not in VARIANTS)
        return {name: name for name in VARIANTS} | {name: counted(int(name), "segment") for name in fewer}

    def loss(self, name: str) -> str:
        """The loss under an alteration with its interval, in points; empty for the clips as they are."""
        return "" if name == "as trained" else _points(self.overall.losses[name])

    def summary(self) -> dict[str, Any]:
        """Everything as JSON types."""
        unknown = self.is_blind or self.overall.kind in ("not learned", "too few clips")
        return {
            "verdict": self.verdict,
            "needs_time": None if unknown else self.overall.needs_time,
            "advice": self.advice(),
            "network": self.network,
            "enough_segments": None if unknown else self.enough,
            "overall": _json(self.overall),
            "classes": {label: _json(each) | {"told_by": self.told_by(label)} for label, each in self.classes.items()},
            "misses": [{"name": name, "reason": reason} for name, reason in self.audited.misses],
        }


def _kind(accuracy: Interval, chance: float, reached: dict[str, float], losses: dict[str, Interval]) -> Kind:
    if accuracy.low <= chance:
        return "not learned"
    single = losses["single frames"]
    if single.low <= 0:
        return "frames"
    if reached["single frames"] - chance >= _KEPT * (accuracy.mean - chance):
        return "mostly frames"
    return "order" if max(losses["backward"].low, losses["shuffled"].low) > 0 else "several frames"


def _points(loss: Interval) -> str:
    return f"{100 * loss.mean:.1f} ({100 * loss.low:.1f} to {100 * loss.high:.1f})"


def _json(found: Finding) -> dict[str, Any]:
    return {
        **{"videos": found.videos, "kind": found.kind, "chance": found.chance, "reached": found.reached},
        "accuracy": [found.accuracy.mean, found.accuracy.low, found.accuracy.high],
        "losses": {name: [loss.mean, loss.low, loss.high] for name, loss in found.losses.items()},
        "backward_becomes": found.becomes,
    }
