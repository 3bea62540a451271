"""The model and the videos named in a command's arguments."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trishift.commands.shared.arguments import execution_of, import_options, runtime_of
from trishift.commands.shared.outputs import status
from trishift.data.lists import ClipList, read_list
from trishift.data.parts import split_part
from trishift.errors import DataError
from trishift.io.regular import exists, is_in_store
from trishift.io.storage import is_stored
from trishift.io.terminal import printable
from trishift.io.wording import counted

if TYPE_CHECKING:
    from trishift.api import Model
    from trishift.data.protocol import Protocol
    from trishift.evaluation.prediction import Miss, Prediction

_LOG = logging.getLogger(__name__)
_LOOKED_FOR = 1000  # clips of a list


def load_model(options: argparse.Namespace, say: Callable[[str], object] = status, clips: int | None = None) -> Model:
    """Load the model of `--checkpoint`.

    Args:
        options: arguments of the command.
        say: called with lines about automatic choices, and about the agreement of lower precision.
        clips: number of clips to predict, if it is known; a few are not worth a fused form.
    """
    from trishift.api import load
    from trishift.backends.fast_forms import pays
    from trishift.export.opening import is_exported

    runtime, local = runtime_of(options), options.checkpoint.local
    is_short = clips is not None and not pays(options.framework, clips)
    if runtime == "auto" and is_short and not (local is not None and is_exported(local)):
        runtime = "native"
    return load(
        options.checkpoint,
        options.framework,
        execution=execution_of(options, say),
        runtime=runtime,
        strict=options.strict,
        say=say,
        **import_options(options),
    )


def add_calibration(parser: argparse._ActionsContainer, more: str = "") -> None:
    """Add `--thresholds` and `--raw`; `more` ends the help of the first."""
    parser.add_argument(
        "--thresholds",
        metavar="P|FILE",
        help="least probability of a predicted class, or an evaluation's result.json (multi-label); default: the "
        f"checkpoint's{more}",
    )
    parser.add_argument("--raw", action="store_true", help="ignore the calibration by `trishift calibrate`")


def set_calibration(model: Model, options: argparse.Namespace) -> None:
    """Apply `--raw` and `--thresholds`.

    Raises:
        DataError: the thresholds cannot be used.
    """
    if options.raw:
        model.discard_calibration()
    if options.thresholds is not None:
        model.set_thresholds(options.thresholds)


def protocol_of(options: argparse.Namespace) -> Protocol:
    """The protocol of `--protocol`; by default one clip, center crop."""
    from trishift.data.protocol import Protocol, named_protocol

    return named_protocol(options.protocol) if options.protocol else Protocol()


def check_protocol(model: Model, protocol: Protocol) -> None:
    """Refuse a protocol that does not fit a model, before any video is decoded; name one that it is not calibrated for.

    Raises:
        DataError: the views have another size than an exported program takes.
        TrishiftError: a program of that size can be neither opened nor made.
        RecipeError: the size of the views does not suit the model, or the sampling takes single frames, the model
            several per segment.
    """
    from trishift.data.sampling import check_length
    from trishift.data.transforms import view_size
    from trishift.model.feature_maps import check_size
    from trishift.model.pixels import segment_length

    check_length(protocol.sampling, segment_length(model.input.modality, model.spec.in_channels))
    spec, size = model.spec, view_size(model.input, protocol.full_resolution)
    check_size(spec, size, f"protocol {protocol}")
    model.session.check_clips((1, spec.num_segments, spec.in_channels, *size))
    if model.calibration.protocol not in ("", str(protocol)):
        status(f"note: the probabilities are calibrated for {model.calibration.protocol}, not for {protocol}")


def add_videos(parser: argparse.ArgumentParser, *, live: bool = False) -> None:
    """Add `--filelist`, `--root`, `--template` and `VIDEO`; with `live`, a camera or a URL is a video, too."""
    parser.add_argument("--filelist", type=Path, help="list of videos, with or without labels")
    parser.add_argument("--root", type=Path, help="folder that the paths in the list are relative to")
    add_template(parser)
    text = "video, frame folder, or folder of either" + ("; camera number, or URL (rtsp, http, udp)" if live else "")
    parser.add_argument("videos", nargs="*", type=str if live else Path, metavar="VIDEO", help=text)


def add_template(parser: argparse._ActionsContainer) -> None:
    """Add `--template`."""
    parser.add_argument(
        "--template",
        help="file name of a frame in frame folders (img_{:05d}.jpg), or a pattern whose files are read in order "
        "('img_*.jpg'); default: detected",
    )


def videos_of(options: argparse.Namespace) -> ClipList:
    """The videos given as arguments, followed by those of `--filelist`, with its labels if they are numbers.

    Raises:
        DataError: no videos were given, or a template that applies to none of them.
    """
    return _with_list([path for video in options.videos for path in _clips_below(video)], options)


def sources_of(options: argparse.Namespace) -> list[str]:
    """Like `videos_of`, for commands that also take cameras and URLs, which stay as they are."""
    streams = [text for text in options.videos if _is_stream(text)]
    videos = [path for text in options.videos if not _is_stream(text) for path in _clips_below(Path(text))]
    if streams and not videos and not options.filelist:
        return streams
    return [*streams, *_with_list(videos, options).paths()]


def _is_stream(text: str) -> bool:
    """Whether a text is the number of a camera or a URL, and not the name of a file."""
    return (text.isdecimal() or ("://" in text and not is_in_store(text))) and not Path(text).exists()


def _with_list(videos: list[Path], options: argparse.Namespace) -> ClipList:
    """Add the videos of `--filelist`. Raises like `videos_of`."""
    clips = ClipList.of(videos)
    if options.filelist:
        from_list = listed(options.filelist, options.root)
        clips = ClipList(records=chain(clips, from_list)) if videos else from_list
    if not clips:
        raise DataError("give at least one VIDEO or a --filelist")
    check_template(options.template, clips)
    return clips


def check_template(template: str | None, videos: Sequence[Path] | ClipList) -> None:
    """Refuse a `--template` that would have no effect.

    Raises:
        DataError: no video is a folder.
    """
    if template is None:
        return
    paths = map(Path, videos.paths()) if isinstance(videos, ClipList) else iter(videos)
    first = next(paths)
    if not any(is_stored(file := split_part(video)[0]) or file.is_dir() for video in chain([first], paths)):
        what = f"{first} is not" if len(videos) == 1 else f"none of the {len(videos)} videos is"
        raise DataError(f"--template {template}: {what} a folder of frames; remove it")


def _clips_below(path: Path) -> list[Path]:
    """The clips that a path names; warns of skipped files."""
    from trishift.data.finding import find_clips

    found = find_clips(path)
    for warning in found.warnings():
        _LOG.warning("%s: %s", path, warning)
    return found.clips


def listed(filelist: Path, root: Path | None) -> ClipList:
    """The videos of a list of plain paths, or of paths with frame counts and labels, whichever exist.

    In a long list, only some are looked for.
    """
    try:
        with_labels = read_list(filelist, root)
    except DataError:
        return read_list(filelist, root, has_labels=False)  # also if none exists: each is reported later
    if _any_exists(with_labels):
        return with_labels
    plain = read_list(filelist, root, has_labels=False)  # names that end in numbers
    return plain if _any_exists(plain) else with_labels


def _any_exists(clips: ClipList) -> bool:
    places = range(0, len(clips), max(1, len(clips) // _LOOKED_FOR))
    return any(is_stored(path) or exists(path) for path in map(clips.path, places))


def labels_of(videos: ClipList, options: argparse.Namespace, names: Sequence[str]) -> ClipList:
    """The videos with the labels in `--filelist`; without any if they are not classes of the model.

    Args:
        videos: as from `videos_of`.
        options: arguments with `filelist` and `root`.
        names: class names of the model.
    """
    highest = max((max(labels, default=-1) for labels in videos.label_counts()), default=-1)
    if 0 <= highest < len(names) or options.filelist is None:
        return videos
    try:
        named = read_list(options.filelist, options.root, class_names=names)
    except DataError:  # plain paths, or classes of another model
        return videos.unlabeled()
    return named if len(named) == len(videos) else ClipList(records=chain(videos[: -len(named)], named))


class Truth:
    """Compares predictions with the labels of a list.

    Args:
        clips: the list.
        names: class names.
    """

    def __init__(self, clips: ClipList, names: Sequence[str]) -> None:
        self._clips, self._names = clips, names
        self._counts: Counter[str] = Counter()

    def note(self, index: int, result: Prediction | Miss) -> str:
        """The true label, for the end of a line; counts the prediction. Empty if it is unknown."""
        labels = self._clips.labels[index]
        if not labels or isinstance(result, tuple):
            return ""
        right = result.classes(1)[0] in labels
        self._counts.update(labeled=1, right=int(right))
        names = ", ".join(printable(self._names[label]) for label in labels)
        return f"; true: {names}" if right else f"; true: {names} (wrong)"

    def take_counts(self) -> Counter[str]:
        """How many predictions since the last call were `labeled`, and how many of these `right`."""
        counts, self._counts = self._counts, Counter()
        return counts


def truth_summary(counts: Mapping[str, int]) -> str:
    """How often the most likely class was true, from the counts of `Truth`; empty if no label was known."""
    from trishift.evaluation.intervals import interval

    labeled, right = counts["labeled"], counts["right"]
    if not labeled:
        return ""
    rate = interval(np.repeat([1.0, 0.0], [right, labeled - right]))
    return f"{right} of {counted(labeled, 'labeled video')} right: {rate}"
