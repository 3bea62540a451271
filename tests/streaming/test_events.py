"""Events: hysteresis, minimum length, merging, nothing, and one track per class with several labels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trishift.errors import RecipeError
from trishift.evaluation.calibration import Calibration
from trishift.evaluation.timelines import Span, VideoSpans, overlap_counts, timeline_metrics
from trishift.streaming.events import Event, EventRule, Reading, event_rule, find_events, nothing_classes
from trishift.streaming.timeline import Moment

WINDOW = 5 / 3  # seconds


def readings(*rows: dict[int, float], hop: float = 1.0, length: float = 1.0) -> list[Reading]:
    return [Reading(place, place * hop, place * hop + length, row) for place, row in enumerate(rows)]


def spans(events: list[Event]) -> list[tuple[float, float, int]]:
    return [(event.start, event.end, event.label) for event in events]


def test_hysteresis_keeps_an_event_alive() -> None:
    scores = [0.4, 0.6, 0.35, 0.6, 0.2, 0.4]
    found = find_events(readings(*({1: score, 0: 0.1} for score in scores)), EventRule(0.5, 0.3))
    assert spans(found) == [(1, 4, 1)]
    assert found[0].probability == pytest.approx((0.6 + 0.35 + 0.6) / 3)
    assert spans(find_events(readings(*({1: score} for score in scores)), EventRule(0.5, 0.5))) == [
        (1, 2, 1),
        (3, 4, 1),
    ]


def test_another_class_ends_an_event() -> None:
    found = find_events(readings({1: 0.9}, {1: 0.45, 2: 0.55}, {1: 0.45, 2: 0.4}, {2: 0.4, 1: 0.45}), EventRule())
    assert spans(found) == [(0, 1, 1), (1, 4, 2)]


def test_short_events_go_and_gaps_close() -> None:
    rows = [{1: 0.9}, {1: 0.9}, {2: 0.9}, {1: 0.9}, {1: 0.9}]
    assert spans(find_events(readings(*rows), EventRule())) == [(0, 2, 1), (2, 3, 2), (3, 5, 1)]
    assert spans(find_events(readings(*rows), EventRule(shortest=1.5))) == [(0, 2, 1), (3, 5, 1)]
    [event] = find_events(readings(*rows), EventRule(shortest=1.5, merge=1.0))
    assert (event.start, event.end, event.windows) == (0, 5, 4)


def test_nothing_is_no_event() -> None:
    rows = [{0: 0.9}, {1: 0.9}, {0: 0.9}, {1: 0.9}]
    rule = EventRule(nothing=frozenset({0}))
    assert spans(find_events(readings(*rows), rule)) == [(1, 2, 1), (3, 4, 1)]
    assert spans(find_events(readings(*rows), EventRule(nothing=frozenset({0}), merge=1.0))) == [(1, 4, 1)]


def test_nothing_ends_no_event_that_is_still_likely() -> None:
    rows = [{0: 0.9}, {1: 0.6, 0: 0.4}, {0: 0.85, 1: 0.12}, {0: 0.93, 1: 0.06}]
    rule = event_rule(2.0, 0.5, nothing=frozenset({0}), shortest=0.0)
    assert spans(find_events(readings(*rows), rule)) == [(1, 3, 1)]
    assert (rule.leave, event_rule(2.0, 0.5).leave, event_rule(2.0, 0.5, enter=0.05).leave) == (0.1, 0.3, 0.05)
    calibration = Calibration(True, thresholds=np.array([0.5, 0.5]))
    several = event_rule(2.0, 0.5, calibration, nothing=frozenset({0}), shortest=0.0)
    assert (several.leave, spans(find_events(readings(*rows), several))) == (0.6, [(1, 2, 1)])


def test_labels_overlap_in_tracks() -> None:
    rule = EventRule(1.0, 0.5, calibration=Calibration(True, thresholds=np.array([0.8, 0.2])))
    rows = [{0: 0.9, 1: 0.1}, {0: 0.5, 1: 0.3}, {0: 0.3, 1: 0.12}, {0: 0.9, 1: 0.05}]
    assert spans(find_events(readings(*rows), rule)) == [(0, 2, 0), (1, 3, 1), (3, 4, 0)]


def test_thresholds_of_single_labels_keep_them_exclusive() -> None:
    rule = EventRule(1.0, 0.5, calibration=Calibration(thresholds=np.array([0.8, 0.4])))
    rows = [{0: 0.7, 1: 0.3}, {0: 0.8, 1: 0.2}, {0: 0.45, 1: 0.42}, {1: 0.45, 0: 0.42}, {1: 0.15, 0: 0.1}]
    assert spans(find_events(readings(*rows), rule)) == [(1, 3, 0), (3, 4, 1)]


def test_windows_speak_for_their_middles() -> None:
    rows = readings(*({1: score} for score in (0.1, 0.9, 0.9, 0.1)), hop=0.5, length=2.0)
    assert spans(find_events(rows, EventRule())) == [(1.25, 2.25, 1)]
    assert spans(find_events(rows[1:3], EventRule())) == [(0.5, 3.0, 1)]
    apart = [Reading(0, 0, 1, {1: 0.9}), Reading(9, 20, 21, {1: 0.9})]  # a gap of the video in between
    assert spans(find_events(apart, EventRule())) == [(0, 1, 1), (20, 21, 1)]


def test_reading_lists_what_later_windows_may_need() -> None:
    scores = np.array([0.31, 0.05, 0.33, 0.3000004, 0.0099996])
    moment = Moment(3, 1.0, 2.0, np.log(scores), scores)
    assert EventRule(top_k=1).reading(moment).probabilities == {2: 0.33, 0: 0.31, 3: 0.3}


def test_nothing_by_name() -> None:
    labels = ("wave", "No gesture", "clap", "Background")
    assert nothing_classes(labels, None) == {1, 3}
    assert nothing_classes(labels, ["clap"]) == {2}
    assert nothing_classes(labels, []) == frozenset()
    with pytest.raises(RecipeError, match="did you mean 'clap'"):
        nothing_classes(labels, ["clp"])


@pytest.mark.parametrize(
    "settings", [{"leave": 0.9}, {"enter": 1.5}, {"leave": 0}, {"shortest": -1}, {"merge": float("nan")}, {"top_k": 0}]
)
def test_rejects_settings(settings: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match="--"):
        EventRule(**settings)  # type: ignore[arg-type]


def test_events_of_200_actions_with_a_model_that_wants_most_of_an_action() -> None:
    rng, time, hop = np.random.default_rng(0), 0.0, WINDOW / 4
    actions: list[Span] = []
    for label in rng.integers(1, 9, 200):
        start = time + rng.uniform(0.7, 2)
        actions.append(Span(start, start + rng.uniform(0.8, 1.2) * WINDOW, str(label)))
        time = actions[-1].end + rng.uniform(0.7, 2)
    windows = [seen(place * hop, actions, rng, place) for place in range(int((time - WINDOW) / hop))]
    events = find_events(windows, event_rule(WINDOW, hop, nothing=frozenset({0})))
    found = [Span(event.start, event.end, str(event.label), event.probability) for event in events]
    metrics = timeline_metrics({"a": VideoSpans(found)}, {"a": VideoSpans(actions)})
    assert metrics.f1[0.5] > 0.98 and metrics.edit == 1
    for part in (actions[:10], actions[-10:]):
        assert all(overlap_counts(found, [action], 0.5)[0] for action in part)


def seen(start: float, actions: list[Span], rng: np.random.Generator, index: int) -> Reading:
    """What such a model makes of a window: 0.5 if it shows 70 % of an action, and the rest is nothing."""
    scores: dict[int, float] = {}
    for action in (each for each in actions if each.start < start + WINDOW and each.end > start):
        share = (min(action.end, start + WINDOW) - max(action.start, start)) / min(WINDOW, action.end - action.start)
        scores[int(action.label)] = 1 / (1 + math.exp(-12 * (share - 0.7) - rng.normal(0, 0.5)))
    total = max(1.0, sum(scores.values()))
    probabilities = {label: value / total for label, value in scores.items()}
    return Reading(index, start, start + WINDOW, {0: 1 - sum(probabilities.values()), **probabilities})
