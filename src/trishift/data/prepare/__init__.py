"""Turn downloads or folders of clips into lists and label files for recipes."""

from __future__ import annotations

from collections.abc import Callable

from trishift.data.prepare.folder import prepare_folder
from trishift.data.prepare.hmdb51 import prepare_hmdb51
from trishift.data.prepare.intervals import prepare_intervals
from trishift.data.prepare.jester import prepare_jester
from trishift.data.prepare.kinetics import prepare_kinetics
from trishift.data.prepare.moments import prepare_moments
from trishift.data.prepare.options import IntervalOptions, SplitOptions
from trishift.data.prepare.pipeline import Options
from trishift.data.prepare.report import PreparationReport
from trishift.data.prepare.something import prepare_somethingv1, prepare_somethingv2
from trishift.data.prepare.table import prepare_list
from trishift.data.prepare.ucf101 import prepare_ucf101
from trishift.data.prepare.unpacking import unpack

PUBLIC_SETS: dict[str, Callable[..., PreparationReport]] = {
    "kinetics": prepare_kinetics,
    "somethingv1": prepare_somethingv1,
    "somethingv2": prepare_somethingv2,
    "jester": prepare_jester,
    "ucf101": prepare_ucf101,
    "hmdb51": prepare_hmdb51,
    "moments": prepare_moments,
}

__all__ = [
    "PUBLIC_SETS",
    "IntervalOptions",
    "Options",
    "PreparationReport",
    "SplitOptions",
    "prepare_folder",
    "prepare_hmdb51",
    "prepare_intervals",
    "prepare_jester",
    "prepare_kinetics",
    "prepare_list",
    "prepare_moments",
    "prepare_somethingv1",
    "prepare_somethingv2",
    "prepare_ucf101",
    "unpack",
]
