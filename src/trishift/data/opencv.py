"""OpenCV, which only cameras, overlays and the computation of optical flow need."""

from __future__ import annotations

from typing import Any

from trishift.errors import FrameworkError


def import_opencv(purpose: str) -> Any:
    """The module cv2; `purpose` begins the error: `cameras need`.

    Raises:
        FrameworkError: it is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise FrameworkError(f"{purpose} OpenCV; run: pip install 'trishift[demo]'") from None
    return cv2
