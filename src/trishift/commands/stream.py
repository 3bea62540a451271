"""`trishift stream`: classify a file, a camera or a network stream as it comes, frame by frame or in windows."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from trishift.commands.shared.arguments import (
    add_checkpoint,
    add_execution,
    add_framework,
    add_import_options,
    add_runtime,
    check_positive,
)
from trishift.commands.shared.inputs import add_calibration, add_template, load_model, set_calibration
from trishift.commands.shared.outputs import add_json, add_strict, print_json, status
from trishift.commands.shared.parser import make_parser
from trishift.errors import RecipeError
from trishift.io.wording import counted

if TYPE_CHECKING:
    from trishift.api import Model
    from trishift.streaming.reader import NewestFrames
    from trishift.streaming.sliding import SlidingStream
    from trishift.streaming.smoothing import Smoothing
    from trishift.streaming.source import Frame, Source
    from trishift.streaming.stream import Stream
    from trishift.streaming.watching import Observation

EXAMPLES = """\
  trishift stream video.mp4 --checkpoint runs/gestures-tsm-online/best.safetensors --json
  trishift stream 0 --checkpoint online.pth --num-segments 8 --smoothing demo --stride 2 --show
  trishift stream rtsp://camera.local/live --checkpoint best.safetensors --window 8 --agreement 3 --reconnect 5
  trishift stream 0 --checkpoint runs/gestures-trn/best.safetensors --clip-length 2 --hop 0.25 --json
"""
_BACKLOG = 256  # frames that wait while a window is classified


def main(arguments: list[str]) -> None:
    """Parse, open everything, print observations until the source ends."""
    options = _parser().parse_intermixed_args(arguments)
    _check(options)

    from trishift.reporting.overlay import Window, WindowClosedError
    from trishift.streaming.reader import NewestFrames
    from trishift.streaming.smoothing import Smoother
    from trishift.streaming.sources import open_source
    from trishift.streaming.stream import Stream
    from trishift.streaming.watching import watch

    source = open_source(options.source, options.timeout, options.live, options.template)
    smoothing = _smoothing(options)
    model = load_model(options)
    set_calibration(model, options)
    status(model.report.summary())
    smoothing.check_classes(model.spec.num_classes)
    stream = _stream(model, options)
    window = Window() if options.show else None
    reader = _frames(source, options, 1 if isinstance(stream, Stream) else _BACKLOG)
    smoother = Smoother(smoothing, model.calibration)
    live = reader if isinstance(reader, NewestFrames) else None
    observations = watch(
        reader, stream, smoother, model.labels, window.show if window else None, lambda: live.newest if live else None
    )
    try:
        with closing(observations):
            _print(observations, live, options)
    except (KeyboardInterrupt, WindowClosedError):
        pass  # the normal way to end a live stream
    finally:
        if window:
            window.close()
    dropped = f", {live.dropped} dropped" if live else ""
    windows = "" if isinstance(stream, Stream) else f" in {counted(stream.num_windows, 'window')}"
    status(f"{counted(stream.num_frames, 'frame')} classified{windows}{dropped}")


def _stream(model: Model, options: argparse.Namespace) -> Stream | SlidingStream:
    """Frame by frame if the model can, or else in windows."""
    from trishift.model.online import check_streamable
    from trishift.streaming.sliding import SlidingStream
    from trishift.streaming.timeline import window_lengths

    reason = ""
    try:
        check_streamable(model.spec)
        if options.clip_length is None and options.hop is None:
            return model.stream()
    except RecipeError as error:
        reason = ": " + str(error).partition(";")[0]
    length, hop, notes = window_lengths(model.meta, options.clip_length, options.hop, "--clip-length")
    status(f"windows of {length:g} s, every {hop:g} s{reason}")
    for note in notes:
        status(f"note: {note}")
    return SlidingStream(model.session, model.input, length, hop)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "stream", "Classify live video, frame by frame (online TSM) or in sliding windows (any model).", EXAMPLES
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="video file, frame folder, camera number, or URL (rtsp, http, udp)"
    )
    add_checkpoint(parser, "weights of any family, or an exported model")
    add_framework(parser)
    add_runtime(parser)
    add_execution(parser)
    add_import_options(parser)
    reading = parser.add_argument_group("reading")
    add_template(reading)
    reading.add_argument("--stride", type=int, default=1, help="classify every n-th frame; default: 1")
    reading.add_argument("--max-frames", type=int, help="stop after this many classified frames")
    reading.add_argument("--realtime", action="store_true", help="read a file at its native speed, like a camera")
    kind = reading.add_mutually_exclusive_group()
    kind.add_argument("--live", action="store_true", default=None, help="a URL is live: skip to the newest frame")
    kind.add_argument(
        "--recording",
        action="store_false",
        dest="live",
        default=None,
        help="a URL is a recording: classify all of its frames",
    )
    reading.add_argument(
        "--timeout", type=float, default=10.0, help="seconds without frames before an error; default: 10"
    )
    reading.add_argument("--reconnect", type=int, default=0, metavar="N", help="reopen a dropped source up to N times")
    windows = parser.add_argument_group("windows", "for models that need whole clips, or if one of these is given")
    windows.add_argument(
        "--clip-length", type=float, metavar="SECONDS", help="length of a window; default: that of the training clips"
    )
    windows.add_argument(
        "--hop", type=float, metavar="SECONDS", help="from one window to the next; default: a quarter of a window"
    )
    smoothing = parser.add_argument_group("smoothing")
    smoothing.add_argument(
        "--smoothing", choices=("none", "demo"), default="none", help="demo: the rule of TSM's online demo"
    )
    smoothing.add_argument("--window", type=int, help="average the logits of this many frames")
    smoothing.add_argument("--agreement", type=int, help="consecutive equal candidates required for a change")
    smoothing.add_argument("--hold", type=int, help="minimum number of frames for which a class is shown")
    add_calibration(parser)
    output = parser.add_argument_group("output")
    add_json(output, "a line of JSON per classified frame")
    output.add_argument("--show", action="store_true", help="show the pictures in a window; q closes it")
    add_strict(parser)
    return parser


def _check(options: argparse.Namespace) -> None:
    check_positive(options, "stride", "max_frames")
    if options.timeout <= 0 or options.reconnect < 0:
        raise RecipeError("--timeout must be positive and --reconnect not negative")


def _smoothing(options: argparse.Namespace) -> Smoothing:
    from trishift.streaming.smoothing import Smoothing

    smoothing = Smoothing.original_demo() if options.smoothing == "demo" else Smoothing()
    given = {name: getattr(options, name) for name in ("window", "agreement", "hold")}
    return replace(smoothing, **{name: value for name, value in given.items() if value is not None})


def _frames(source: Source, options: argparse.Namespace, keep: int) -> NewestFrames | Iterator[Frame]:
    """Every frame of a file; the newest `keep` frames of any other source."""
    from trishift.streaming.reader import NewestFrames, reconnecting, strided
    from trishift.streaming.source import paced

    if not source.live:
        frames = strided(source.frames(), options.stride)
        return NewestFrames(paced(frames), options.timeout, keep) if options.realtime else frames
    frames = reconnecting(source, options.reconnect, notify=status)
    patience = (options.timeout + 1) * (options.reconnect + 1) + 1  # the source reports a timeout first
    return NewestFrames(strided(frames, options.stride), patience, keep)


def _print(observations: Iterable[Observation], reader: NewestFrames | None, options: argparse.Namespace) -> None:
    """Print a JSON line per observation, or a line of text per change of the shown classes."""
    classes: tuple[str, ...] | None = None
    for count, observation in enumerate(observations, 1):
        if options.json:
            lag = {} if reader is None else {"lag": reader.newest - observation.frame, "dropped": reader.dropped}
            print_json({**observation.as_json(), **lag})
        elif observation.classes != classes:
            print(observation, flush=True)
        classes = observation.classes
        if count == options.max_frames:
            return
