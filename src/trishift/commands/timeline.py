"""`trishift timeline`: find out what happens when in videos of any length."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trishift.commands.shared.arguments import (
    add_checkpoint,
    add_execution,
    add_framework,
    add_import_options,
    add_protocol,
    add_reading,
    add_runtime,
    check_positive,
)
from trishift.commands.shared.inputs import add_videos, check_protocol, load_model, protocol_of, sources_of
from trishift.commands.shared.outputs import add_strict, check_file, report_misses, status
from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.parts import add_devices, in_order, parts
from trishift.data.parts import split_part
from trishift.errors import DataError, OutputError, without_secrets
from trishift.evaluation.shards import Shard
from trishift.io.terminal import printable
from trishift.io.wording import counted

if TYPE_CHECKING:
    from trishift.api import Model
    from trishift.reporting.timelines.content import TimelineContent
    from trishift.reporting.timelines.journal import Journal
    from trishift.streaming.events import EventRule
    from trishift.streaming.timeline import Timeline

EXAMPLES = """\
  trishift timeline long.mp4 --checkpoint runs/gestures-tsm/best.safetensors
  trishift timeline long.mp4 --checkpoint best.safetensors --output long.srt long.eaf long.html
  trishift timeline videos/ --checkpoint best.safetensors --window 2.5 --hop 0.5 --output 'timelines/{name}.jsonl'
  trishift timeline rtsp://camera.local/live --checkpoint best.onnx --output today.jsonl
"""
_NAME = "{name}"
_SECONDS_BETWEEN_LINES = 30.0


def main(arguments: list[str]) -> None:
    """Parse, classify the windows of each video, print and write its events."""
    options = _parser().parse_intermixed_args(arguments)
    check_positive(options, "top_k", "batch_size", "devices")

    from trishift.reporting.timelines.files import FORMATS

    options.videos = sources_of(options)
    outputs = [_outputs(options.output, video) for video in options.videos]
    _check_outputs(outputs, options.videos, FORMATS)
    protocol_of(options)  # refuses unknown names before the work
    listed = Shard.parse(options.shard).of(range(len(options.videos)))
    misses = []
    with parts(options, partial(_work, listed)) as streams:
        for report in [next(stream) for stream in streams][:1]:
            status(report)
        for result in in_order(streams):
            if isinstance(result, Finished):
                result.show()
            else:
                misses.append(result)
    report_misses(misses, len(listed), strict=options.strict)


@dataclass(frozen=True)
class Finished:
    """The result of a video: its events and the written files, as text."""

    events: list[str]
    remarks: list[str]

    def show(self) -> None:
        """Print the events, and the remarks to stderr."""
        for line in self.events:
            print(line)
        for line in self.remarks:
            status(line)


def _work(listed: Sequence[int], options: argparse.Namespace, part: Shard) -> Iterator[Any]:
    """Yield the model's report, then numbered results and misses of a part of the videos."""
    protocol = protocol_of(options)
    model = load_model(options)
    check_protocol(model, protocol)
    if options.thresholds is not None:
        model.set_thresholds(options.thresholds)
    rule = _rule(options, model)
    yield model.report.summary()
    misses: list[tuple[int, tuple[str, str]]] = []
    for index in part.turns(listed):
        video = options.videos[index]
        try:
            yield index, _timeline(video, model, rule, options)
        except DataError as error:
            misses.append((index, (without_secrets(video), str(error))))
    yield from misses


def _rule(options: argparse.Namespace, model: Model) -> EventRule:
    from trishift.streaming.events import EventRule, default_rule, nothing_classes
    from trishift.streaming.timeline import window_lengths

    length, hop, _ = window_lengths(model.meta, options.window, options.hop)
    defaults = default_rule(length, hop, model.thresholds)
    given = {"enter": options.enter, "leave": options.leave, "shortest": options.min_length, "merge": options.merge}
    chosen = {name: getattr(defaults, name) if value is None else value for name, value in given.items()}
    if options.leave is None:
        chosen["leave"] = min(chosen["leave"], chosen["enter"])
    nothing = nothing_classes(model.labels, options.nothing)
    return EventRule(**chosen, top_k=options.top_k, nothing=nothing, thresholds=model.thresholds)


def _timeline(video: str, model: Model, rule: EventRule, options: argparse.Namespace) -> Finished:
    """Classify a video and write its files."""
    from trishift.reporting.timelines.files import write_timeline

    timeline = _opened(video, model, options)
    outputs = _outputs(options.output, video)
    settings = _settings(video, model, timeline, rule, options)
    with _journal(outputs, settings, model.labels, timeline) as journal:
        _classify(timeline, journal, rule)
        content = _content(video, model, timeline, rule, journal)
        for path in outputs:
            write_timeline(content, path)
    events = [
        printable(f"{content.video}: {event.start:.2f} - {event.end:.2f} s  {content.caption(event)}")
        for event in content.events
    ]
    summary = f"{content.video}: {counted(len(events), 'event')} in {counted(content.windows, 'window')}"
    written = [f"written: {', '.join(map(str, outputs))}"] if outputs else []
    return Finished(events, [*(f"note: {note}" for note in content.notes), summary, *written])


def _opened(video: str, model: Model, options: argparse.Namespace) -> Timeline:
    from trishift.streaming.sources import open_source

    flow = model.input.modality == "flow"
    template = options.template if Path(video).is_dir() else None
    source = open_source(video, template=template, flow=flow, fps=options.fps)
    return model.timeline(source, options.window, options.hop, protocol_of(options), batch_size=options.batch_size)


def _settings(
    video: str, model: Model, timeline: Timeline, rule: EventRule, options: argparse.Namespace
) -> dict[str, Any]:
    """Everything that the lines of a journal depend on."""
    return {
        "video": without_secrets(video),
        "changed": _changed(split_part(video)[0]),
        "checkpoint": str(options.checkpoint),
        "weights_changed": _changed(options.checkpoint.local),
        "protocol": str(protocol_of(options)),
        "window": timeline.length,
        "hop": timeline.hop,
        "top_k": rule.top_k,
        "leave": rule.leave,
    }


def _changed(path: Path | None) -> str | None:
    """When a file was changed; None for anything else."""
    if path is None or not path.is_file():
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(path.stat().st_mtime))


@contextmanager
def _journal(
    outputs: Sequence[Path], settings: dict[str, Any], labels: Sequence[str], timeline: Timeline
) -> Iterator[Journal]:
    """The file of the windows: an output, or a temporary file beside the first one, removed once all are written."""
    from trishift.io.line_files import open_lines
    from trishift.reporting.timelines.files import LINES
    from trishift.reporting.timelines.journal import Journal

    kept = next((path for path in outputs if path.suffix == LINES), None)
    with tempfile.TemporaryDirectory(prefix="trishift-") as folder:
        path = kept or (_windows_of(outputs[0]) if outputs else Path(folder) / f"windows{LINES}")
        with open_lines(path) as lines:
            journal = Journal(lines, settings, labels, timeline.batch_size)
            if timeline.source.live and journal.start and not journal.finished:
                raise OutputError(f"{path}: holds windows of a live source, which cannot be continued; remove it")
            if journal.start and not journal.finished:
                status(f"{path}: continued from window {journal.start}")
            yield journal
        if kept is None:
            path.unlink(missing_ok=True)


def _windows_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.windows.jsonl")


def _classify(timeline: Timeline, journal: Journal, rule: EventRule) -> None:
    """Add the windows that are missing in the journal."""
    if journal.finished:
        return
    try:
        for moment in _reported(timeline, journal.start):
            journal.add([rule.reading(moment)])
    except KeyboardInterrupt:
        if not timeline.source.live:  # whose end this is
            raise KeyboardInterrupt("interrupted; repeat the command to continue") from None
    journal.finish(timeline.notes())


def _reported(timeline: Timeline, start: int) -> Iterable[Any]:
    """The moments, with a line about the progress every 30 seconds."""
    began = last = time.monotonic()
    for moment in timeline.moments(start):
        yield moment
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            total = timeline.source.duration
            whole = f" of {total:.0f}" if total else ""
            status(f"{timeline.source.name}: {moment.end:.0f}{whole} s, {moment.end / (now - began):.1f} x real time")


def _content(video: str, model: Model, timeline: Timeline, rule: EventRule, journal: Journal) -> TimelineContent:
    from trishift.reporting.timelines.content import TimelineContent
    from trishift.streaming.events import find_events
    from trishift.streaming.sources import Recording

    windows, duration = 0, 0.0
    for reading in journal.readings():
        windows, duration = windows + 1, reading.end
    source = timeline.source
    return TimelineContent(
        video=without_secrets(video),
        labels=model.labels,
        window=timeline.length,
        hop=timeline.hop,
        rule=rule,
        events=tuple(find_events(journal.readings(), rule)),
        duration=duration,
        windows=windows,
        readings=journal.readings,
        notes=tuple(journal.notes),
        recording=source if isinstance(source, Recording) else None,
    )


def _outputs(patterns: Sequence[str], video: str) -> list[Path]:
    """The output files of a video, with its name in place of `{name}`."""
    stem = Path(video).name if Path(video).is_dir() else Path(video.partition("#")[0]).stem
    return [Path(pattern.replace(_NAME, stem)) for pattern in patterns]


def _check_outputs(outputs: Sequence[Sequence[Path]], videos: Sequence[str], formats: Sequence[str]) -> None:
    """Refuse outputs that could not be written, or of which several videos would write the same.

    Raises:
        OutputError: names the file.
    """
    owners: dict[Path, str] = {}
    for paths, video in zip(outputs, videos, strict=True):
        for path in paths:
            if path in owners:
                raise OutputError(
                    f"{path}: is the output of {owners[path]} and of {video}; write {_NAME} into --output, in place of "
                    "the video's name, and give the videos different names"
                )
            owners[path] = video
    for path in owners:
        check_file(path, formats)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("timeline", "Find out what happens when in videos of any length.", EXAMPLES)
    add_checkpoint(parser, "weights of any family, or an exported model")
    add_framework(parser)
    add_runtime(parser)
    add_execution(parser)
    add_import_options(parser)
    add_protocol(parser, "one clip, center crop per window")
    windows = parser.add_argument_group("windows")
    windows.add_argument(
        "--window", type=float, metavar="SECONDS", help="length of a window; default: that of the training clips"
    )
    windows.add_argument(
        "--hop", type=float, metavar="SECONDS", help="from one window to the next; default: a quarter of a window"
    )
    windows.add_argument("--fps", type=float, help="frames per second of frame folders; default: 30")
    events = parser.add_argument_group("events")
    events.add_argument("--enter", type=float, metavar="P", help="probability at which an event begins; default: 0.5")
    events.add_argument("--leave", type=float, metavar="P", help="probability below which it ends; default: 0.3")
    events.add_argument("--min-length", type=float, metavar="SECONDS", help="drop shorter events; default: 0.4 windows")
    events.add_argument(
        "--merge", type=float, metavar="SECONDS", help="join events of a class over gaps; default: a hop"
    )
    events.add_argument(
        "--nothing",
        nargs="*",
        metavar="CLASS",
        help="classes that are no event; default: those with a name such as 'No gesture' or 'background'",
    )
    events.add_argument("--top-k", type=int, default=5, help="classes per window and event; default: 5")
    events.add_argument(
        "--thresholds",
        metavar="P|FILE",
        help="multi-label: minimum probability of a class, or an evaluation's result.json; default: the checkpoint's. "
        "--enter and --leave are factors on it, by default 1 and 0.6",
    )
    parser.add_argument(
        "--output",
        nargs="+",
        default=[],
        metavar="FILE",
        help="files per video, with its name for {name}: .json, .jsonl (a line per window), .csv, .srt, .vtt, .eaf "
        "(ELAN), .html (a page with a player) or .mp4 (the video with a bar); repeat a command to continue it",
    )
    add_reading(parser)
    add_devices(parser)
    add_strict(parser)
    add_videos(parser, live=True)
    return parser
