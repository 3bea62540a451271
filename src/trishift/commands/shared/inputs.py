"""The model and the videos named in a command's arguments."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trishift.commands.shared.arguments import execution_of, import_options
from trishift.commands.shared.outputs import status
from trishift.errors import DataError

if TYPE_CHECKING:
    from trishift.api import Model
    from trishift.data.protocol import Protocol

_LOG = logging.getLogger(__name__)


def load_model(options: argparse.Namespace, say: Callable[[str], object] = status, clips: int | None = None) -> Model:
    """Load the model of `--checkpoint`.

    Args:
        options: arguments of the command.
        say: called with lines about automatic choices, and about the agreement of lower precision.
        clips: number of clips to predict, if it is known; a few are not worth a fused form.
    """
    from trishift.api import load
    from trishift.backends.fused_forms import pays
    from trishift.evaluation.agreement import Compared
    from trishift.export.opening import is_exported

    runtime = getattr(options, "runtime", "auto")
    local = options.checkpoint.local
    is_short = clips is not None and not pays(options.framework, clips)
    if runtime == "auto" and is_short and not (local is not None and is_exported(local)):
        runtime = "native"
    model = load(
        options.checkpoint,
        options.framework,
        execution=execution_of(options, say),
        runtime=runtime,
        **import_options(options),
    )
    if isinstance(model.session, Compared):
        model.session.say = say
    return model


def protocol_of(options: argparse.Namespace) -> Protocol:
    """The protocol of `--protocol`; by default one clip, center crop."""
    from trishift.data.protocol import Protocol, named_protocol

    return named_protocol(options.protocol) if options.protocol else Protocol()


def check_protocol(model: Model, protocol: Protocol) -> None:
    """Refuse a protocol that does not fit a model, before any video is decoded.

    Raises:
        DataError: the views have another size than an exported program takes.
        TrishiftError: a program of that size can be neither opened nor made.
        RecipeError: the size of the views does not suit the model, or the sampling takes single frames, the model
            several per segment.
    """
    from trishift.data.sampling import check_length
    from trishift.data.transforms import view_size
    from trishift.model.feature_maps import check_size
    from trishift.model.spec import segment_length

    check_length(protocol.sampling, segment_length(model.input.modality, model.spec.in_channels))
    spec, size = model.spec, view_size(model.input, protocol.full_resolution)
    check_size(spec, size, f"protocol {protocol}")
    model.session.check_clips((1, spec.num_segments, spec.in_channels, *size))


def add_videos(parser: argparse.ArgumentParser) -> None:
    """Add `--filelist`, `--root`, `--template` and `VIDEO`."""
    parser.add_argument("--filelist", type=Path, help="list of videos, with or without labels")
    parser.add_argument("--root", type=Path, help="folder that the paths in the list are relative to")
    add_template(parser)
    parser.add_argument(
        "videos", nargs="*", type=Path, metavar="VIDEO", help="video, frame folder, or folder of either"
    )


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
    if options.filelist:
        videos += listed(options.filelist, options.root)
    if not videos:
        raise DataError("give at least one VIDEO or a --filelist")
    check_template(options.template, videos)
    return videos


def check_template(template: str | None, videos: Sequence[Path]) -> None:
    """Refuse a `--template` that would have no effect.

    Raises:
        DataError: no video is a folder.
    """
    if template is not None and not any(video.is_dir() for video in videos):
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
