"""A window that shows the video with the current class; the network's input is not modified."""

from __future__ import annotations

import numpy as np

from trishift.data.opencv import import_opencv
from trishift.errors import FrameworkError
from trishift.reporting.fonts import font_files
from trishift.streaming.watching import Observation

_TITLE = "trishift"
_ESCAPE = 27
_BAR = 0.12  # share of the picture's height


def annotate(image: np.ndarray, observation: Observation) -> np.ndarray:
    """Copy a picture (H, W, 3) uint8 RGB and add a bar with class and probability below: (H', W, 3) uint8 RGB."""
    cv2 = import_opencv("overlays need")
    height, width = image.shape[:2]
    bar = np.zeros((max(24, round(_BAR * height)), width, 3), np.uint8)
    text = observation.caption
    if not text.isascii():  # which OpenCV cannot draw
        return np.concatenate([image, _lettered(bar, text)])
    scale = len(bar) / 40
    (text_width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    scale *= min(1.0, 0.95 * width / text_width)
    cv2.putText(bar, text, (4, round(0.7 * len(bar))), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([image, bar])


def _lettered(bar: np.ndarray, text: str) -> np.ndarray:
    """Draw text in any script on a bar (H, W, 3) uint8."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(bar)
    file = font_files([text])[-1]
    font = ImageFont.truetype(file, round(0.6 * len(bar)))
    room = 0.95 * bar.shape[1]
    if font.getlength(text) > room:
        font = ImageFont.truetype(file, max(1, int(font.size * room / font.getlength(text))))
    ImageDraw.Draw(picture).text((4, len(bar) // 2), text, (255, 255, 255), font, anchor="lm")
    return np.array(picture)


class WindowClosedError(Exception):
    """The user closed the window."""


class Window:
    """A window on the screen; `q`, Escape or the close button ends the stream.

    Raises:
        FrameworkError: OpenCV is missing or cannot open windows here.
    """

    def __init__(self) -> None:
        self._cv2 = import_opencv("overlays need")
        try:
            self._cv2.namedWindow(_TITLE, self._cv2.WINDOW_NORMAL)
        except self._cv2.error:
            raise FrameworkError(
                "--show: this OpenCV cannot open windows (headless, or no display); "
                "install opencv-python instead of opencv-python-headless, or remove --show"
            ) from None

    def show(self, image: np.ndarray, observation: Observation) -> None:
        """Display a picture and its observation; raises WindowClosedError."""
        self._cv2.imshow(_TITLE, np.ascontiguousarray(annotate(image, observation)[:, :, ::-1]))
        key = self._cv2.waitKey(1) & 0xFF
        if key in (ord("q"), _ESCAPE) or self._cv2.getWindowProperty(_TITLE, self._cv2.WND_PROP_VISIBLE) < 1:
            raise WindowClosedError

    def close(self) -> None:
        """Close the window."""
        self._cv2.destroyAllWindows()
