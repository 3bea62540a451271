"""OpenCV, an optional dependency for cameras, overlays and computing optical flow."""

from __future__ import annotations

from typing import Any

from trishift.errors import FrameworkError, install_hint


def import_opencv(purpose: str) -> Any:
    """Import cv2.

    Args:
        purpose: start of the error message, for instance "cameras need".

    Raises:
        FrameworkError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise FrameworkError(f"{purpose} OpenCV; {install_hint('demo')}") from None
    return cv2
