"""`trishift timeline`: find out what happens when in videos of any length."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

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
from trishift.commands.shared.engines import Work, add_engine, results_of
from trishift.commands.shared.inputs import (
    add_calibration,
    add_videos,
    check_protocol,
    load_model,
    protocol_of,
    set_calibration,
    sources_of,
)
from trishift.commands.shared.jobs import job_settings, open_video_job
from trishift.commands.shared.outputs import add_strict, check_file, report_misses, status
from trishift.commands.shared.parser import make_parser
from trishift.commands.shared.parts import add_devices
from trishift.data.lists import ClipList
from trishift.data.parts import split_part
from trishift.errors import DataError, named
from trishift.evaluation.shards import Shard
from trishift.io.progress import Progress
from trishift.io.storage import is_stored
from trishift.io.terminal import printable
from trishift.io.wording import counted

if TYPE_CHECKING:
    from trishift.api import Model
    from trishift.evaluation.prediction import Miss
    from trishift.streaming.events import EventRule
    from trishift.streaming.timeline import Moment, Timeline

_SETTINGS = ("window", "hop", "fps", "enter", "leave", "min_length", "merge", "nothing", "top_k", "output")
EXAMPLES = """\
  trishift timeline long.mp4 --checkpoint runs/gestures-tsm/best.safetensors
  trishift timeline long.mp4 --checkpoint best.safetensors --output long.srt long.eaf long.html
  trishift timeline videos/ --checkpoint best.safetensors --window 2.5 --hop 0.5 --output 'timelines/{name}.jsonl'
  trishift timeline rtsp://camera.local/live --checkpoint best.onnx --output today.jsonl
"""


def main(arguments: list[str]) -> None:
    """Parse, classify the windows of each video, print and write its events."""
    options = _parser().parse_intermixed_args(arguments)
    check_positive(options, "top_k", "batch_size", "devices")

    from trishift.evaluation.missing import Misses, missing_in
    from trishift.evaluation.prediction import Miss
    from trishift.reporting.timelines.files import FORMATS, output_files

    options.videos = sources_of(options)
    options.outputs = output_files(options.output, options.videos)
    for path in (path for paths in options.outputs for path in paths):
        check_file(path, FORMATS)
    protocol_of(options)  # refuses unknown names before the work
    shard = Shard.parse(options.shard)
    listed = shard.of(range(len(options.videos)))
    first = next(iter(options.outputs[0]), None) if len(listed) > 1 else None
    misses = Misses(first and missing_in(first.parent, "timelines", shard))
    settings = job_settings(options, ClipList.of(map(Path, options.videos)), *_SETTINGS) if first else {}
    with open_video_job(
        first and first.parent, "timelines", settings, [options.outputs[each] for each in listed]
    ) as job:
        start, numbers = (listed[0], job.pending() + listed[0]) if job and listed else (0, np.array(listed, np.int64))
        if job and job.done:
            status(f"continued, {job.done} of {counted(len(listed), 'video')} done")
        with results_of(options, _work, numbers, most=1) as (summary, batches):
            status(summary)
            for number, result in (each for results in batches for each in results):
                if isinstance(result, Miss):
                    misses.add(result)
                    continue
                result.show()
                if job:
                    job.add([number - start], (), {})
        if job:
            job.forget()
    misses.close()
    report_misses(misses.first, len(listed), strict=options.strict, count=misses.count, file=misses.file)


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


def _work(options: argparse.Namespace) -> tuple[str, Work[Finished | Miss]]:
    """Open the model; returns its report, and what makes the timelines of videos by their numbers."""
    from trishift.evaluation.prediction import Miss

    protocol = protocol_of(options)
    model = load_model(options)
    check_protocol(model, protocol)
    set_calibration(model, options)
    rule = _rule(options, model)

    def finish(numbers: np.ndarray) -> Iterator[list[tuple[int, Finished | Miss]]]:
        for index in numbers.tolist():
            video = options.videos[index]
            try:
                yield [(index, _finished(_opened(video, model, options), model, rule, options, index))]
            except DataError as error:
                yield [(index, Miss(named(video), str(error)))]

    return model.report.summary(), finish


def _rule(options: argparse.Namespace, model: Model) -> EventRule:
    from trishift.streaming.events import event_rule, nothing_classes
    from trishift.streaming.timeline import window_lengths

    length, hop, _ = window_lengths(model.meta, options.window, options.hop)
    given = {name: getattr(options, name) for name in ("enter", "leave", "merge", "top_k")}
    nothing = nothing_classes(model.labels, options.nothing)
    return event_rule(length, hop, model.calibration, shortest=options.min_length, nothing=nothing, **given)


def _opened(video: str, model: Model, options: argparse.Namespace) -> Timeline:
    from trishift.streaming.sources import open_source

    file = split_part(video)[0]
    template = options.template if options.template and (file.is_dir() or is_stored(file)) else None
    source = open_source(video, template=template, flow=model.input.modality == "flow", fps=options.fps)
    return model.timeline(source, options.window, options.hop, protocol_of(options), batch_size=options.batch_size)


def _finished(timeline: Timeline, model: Model, rule: EventRule, options: argparse.Namespace, index: int) -> Finished:
    """Classify a video and write its files."""
    from trishift.reporting.timelines.content import TimelineContent
    from trishift.reporting.timelines.files import write_timeline
    from trishift.reporting.timelines.journal import journal_settings, open_journal

    outputs: list[Path] = options.outputs[index]
    settings = journal_settings(timeline, rule, str(options.checkpoint), options.checkpoint.local)
    with open_journal(outputs, settings, model.labels, timeline) as journal:
        if journal.start and not journal.finished:
            status(f"{journal.path}: continued from window {journal.start}")
        with _progress(timeline, journal.start) as show:
            journal.fill(timeline, rule, show)
        content = TimelineContent.of(timeline, model.labels, rule, journal)
        for path in outputs:
            write_timeline(content, path)
    events = [
        printable(f"{content.video}: {event.start:.2f} - {event.end:.2f} s  {content.caption(event)}")
        for event in content.events
    ]
    summary = f"{content.video}: {counted(len(events), 'event')} in {counted(content.windows, 'window')}"
    written = [f"written: {', '.join(map(str, outputs))}"] if outputs else []
    return Finished(events, [*(f"note: {note}" for note in content.notes), summary, *written])


@contextmanager
def _progress(timeline: Timeline, start: int) -> Iterator[Callable[[Moment], None]]:
    """Yield a function that shows how far into the video a window ends; `start` is the number of the first one."""
    done, duration = int(start * timeline.hop), timeline.source.duration
    with Progress(timeline.source.name, round(duration) if duration else None, done, "second") as progress:

        def show(moment: Moment) -> None:
            nonlocal done
            done, before = int(moment.end), done
            progress.update(done - before)

        yield show


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
    events.add_argument(
        "--leave",
        type=float,
        metavar="P",
        help="probability below which it ends; default: 0.3, or 0.1 with a class of nothing",
    )
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
    add_calibration(events, "; --enter and --leave become factors on the thresholds, by default 1 and 0.6")
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
    add_engine(parser)
    add_strict(parser)
    add_videos(parser, live=True)
    return parser
