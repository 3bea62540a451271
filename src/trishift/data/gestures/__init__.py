"""Built-in data set of hand gestures: real H.264 clips, generated in seconds, with classes that differ only in motion.

Clips have one label with one hand, and one or two labels with two hands.
"""

from __future__ import annotations

from trishift.data.gestures.dataset import GestureSet, make_gestures
from trishift.data.gestures.motion import CLASSES
from trishift.data.gestures.preview import write_preview

__all__ = ["CLASSES", "GestureSet", "make_gestures", "write_preview"]
