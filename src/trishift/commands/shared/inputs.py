"""The model and the videos named in a command's arguments."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trishift.commands.shared.arguments import execution_of, import_options, runtime_of
from trishift.commands.shared.outputs import status
from trishift.data.parts import split_part
from trishift.errors import DataError
from trishift.io.terminal import printable
from trishift.io.wording import counted

if TYPE_CHECKING:
    from trishift.api import Model
    from trishift.data.protocol import Protocol
    from trishift.evaluation.prediction import Prediction

_LOG = logging.getLogger(__name__)


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


def videos_of(options: argparse.Namespace) -> list[Path]:
    """The videos given as arguments, followed by those of `--filelist`.

    Raises:
        DataError: no videos were given, or a template that applies to none of them.
    """
    videos = [path for video in options.videos for path in _clips_below(video)]
    return _with_list(videos, options)


def sources_of(options: argparse.Namespace) -> list[str]:
    """Like `videos_of`, for commands that also take cameras and URLs, which stay as they are."""
    streams = [text for text in options.videos if _is_stream(text)]
    videos = [path for text in options.videos if not _is_stream(text) for path in _clips_below(Path(text))]
    if streams and not videos and not options.filelist:
        return streams
    return [*streams, *map(str, _with_list(videos, options))]


def _is_stream(text: str) -> bool:
    """Whether a text is the number of a camera or a URL, and not the name of a file."""
    return (text.isdecimal() or "://" in text) and not Path(text).exists()


def _with_list(videos: list[Path], options: argparse.Namespace) -> list[Path]:
    """Add the videos of `--filelist`. Raises like `videos_of`."""
    if options.filelist:
        videos = videos + listed(options.filelist, options.root)
    if not videos:
        raise DataError("give at least one VIDEO or a --filelist")
    check_template(options.template, videos)
    return videos


def check_template(template: str | None, videos: Sequence[Path]) -> None:
    """Refuse a `--template` that would have no effect.

    Raises:
        DataError: no video is a folder.
    """
    if template is not None and not any(split_part(video)[0].is_dir() for video in videos):
        what = f"{videos[0]} is not" if len(videos) == 1 else f"none of the {len(videos)} videos is"
        raise DataError(f"--template {template}: {what} a folder of frames; remove it")


def _clips_below(path: Path) -> list[Path]:
    """The clips that a path names; warns of skipped files."""
    from trishift.data.finding import find_clips

    found = find_clips(path)
    for warning in found.warnings():
        _LOG.warning("%s: %s", path, warning)
    return found.clips


def listed(filelist: Path, root: Path | None) -> list[Path]:
    """The videos of a list of plain paths, or of paths with frame counts and labels."""
    from trishift.data.lists import read_list

    plain = [record.path for record in read_list(filelist, root, has_labels=False)]
    if any(path.exists() for path in plain):
        return plain
    try:
        return [record.path for record in read_list(filelist, root)]
    except DataError:
        return plain  # plain paths, none of which exists: each is reported later


def labels_of(filelist: Path | None, root: Path | None, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The labels in a list by the path of the clip, as `videos_of` names it; empty if the list has none."""
    from trishift.data.lists import read_list

    if filelist is None:
        return {}
    try:
        return {str(record.path): record.labels for record in read_list(filelist, root, class_names=names)}
    except DataError:
        return {}  # a list of plain paths


class Truth:
    """Compares predictions with the labels of a list.

    Args:
        labels: class numbers by path.
        names: class names.
    """

    def __init__(self, labels: Mapping[str, Sequence[int]], names: Sequence[str]) -> None:
        self._labels, self._names = labels, names
        self._right: list[bool] = []

    @property
    def known(self) -> bool:
        """Whether the label of a prediction was known."""
        return bool(self._right)

    def note(self, prediction: Prediction) -> str:
        """The true label, for the end of a line; counts the prediction. Empty if it is unknown."""
        labels = self._labels.get(prediction.name, ())
        if not labels:
            return ""
        right = prediction.classes[0] in labels
        self._right.append(right)
        names = ", ".join(printable(self._names[label]) for label in labels)
        return f"; true: {names}" if right else f"; true: {names} (wrong)"

    def summary(self) -> str:
        """How often the most likely class was true."""
        from trishift.evaluation.intervals import interval

        rate = interval(np.array(self._right, float))
        return f"{sum(self._right)} of {counted(len(self._right), 'labeled video')} right: {rate}"
