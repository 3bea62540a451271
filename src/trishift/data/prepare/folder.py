"""`trishift prepare folder`: one folder of clips per class becomes lists, labels and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trishift.data.prepare.discovery import find_clips
from trishift.data.prepare.options import SplitOptions
from trishift.data.prepare.own_clips import prepare_clips
from trishift.data.prepare.report import PreparationReport


def prepare_folder(directory: str | Path, output: str | Path, **options: Any) -> PreparationReport:
    """Check the clips of a folder and write training and validation lists.

    Every clip is decoded completely. The split is stratified (each class in proportion) and never divides a group;
    the same clips and options give the same split. A ready split (`train/`, `val/`, `test/`) is kept.

    Args:
        directory: one folder of clips (videos or frame folders) per class, or one per split and class.
        output: folder for the lists; created if missing.
        **options: fields of `SplitOptions`, such as `val_fraction`.

    Raises:
        DataError: no clips in class folders, fewer than two classes, nothing readable, impossible options, or `output`
            holds different lists and `force` is not set. No list was written.
        OutputError: `output` cannot be written.

    Example:
        >>> from trishift.data.prepare import prepare_folder
        >>> report = prepare_folder("clips", "lists", val_fraction=0.5)  # clips/wave/*.mp4, clips/clap/*.mp4
        >>> report.classes
        ['clap', 'wave']
        >>> report.split  # training and validation clips
        {'clap': [1, 1], 'wave': [1, 1]}
    """
    settings = SplitOptions(**options)
    directory, output = Path(directory).absolute(), Path(output).absolute()
    found = find_clips(directory, output)
    if output == directory:
        found.notes.append("the lists are written into the folder of the clips; another --output keeps them apart")
    return prepare_clips(found, directory, output, settings, PreparationReport("folder", str(output)))
