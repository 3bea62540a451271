"""A built-in data set of hand gestures: real H.264 clips, made in seconds, on which only motion tells classes apart.

With one hand a clip has one label, with two hands several.
"""

from __future__ import annotations

from trishift.data.gestures.dataset import GestureSet, make_gestures
from trishift.data.gestures.motion import CLASSES
from trishift.data.gestures.preview import write_preview

__all__ = ["CLASSES", "GestureSet", "make_gestures", "write_preview"]
