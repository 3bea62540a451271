"""Labels in any script: a fallback font where one is installed, or one warning."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trishift.reporting import fonts
from trishift.reporting.evaluation import _draw_confusion
from trishift.reporting.overlay import annotate
from trishift.streaming.watching import Observation

RARE = "\u1d84"  # not in matplotlib's default font, but in another one of its own
UNKNOWN = "\u624b"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with one more font."""
    font = fonts._own_font().with_name("STIXGeneral.ttf")
    monkeypatch.setattr(fonts, "_installed", lambda: [font.with_name("cmr10.ttf"), font])
    fonts._others.cache_clear()
    yield font
    fonts._others.cache_clear()


def test_own_font_suffices_for_many_scripts(caplog: pytest.LogCaptureFixture) -> None:
    assert fonts.font_files(["wave", "caf\u00e9", "\u043c\u0438\u0440"]) == [fonts._own_font()]
    assert not caplog.messages


def test_fallback_has_the_other_characters(installed: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert fonts.font_files(["wave", RARE]) == [fonts._own_font(), installed]
    with warnings.catch_warnings(), fonts.label_fonts([RARE]):
        warnings.simplefilter("error")
        _draw_confusion(np.eye(2, dtype=int), ("wave", RARE), io.BytesIO())
    assert not caplog.messages


def test_missing_characters_are_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with fonts.label_fonts([UNKNOWN]):
                _draw_confusion(np.eye(2, dtype=int), ("wave", UNKNOWN), io.BytesIO())
    (message,) = caplog.messages
    assert UNKNOWN in message and "fonts-noto-cjk" in message


def test_overlay_draws_any_script() -> None:
    pytest.importorskip("cv2")
    picture = np.full((40, 60, 3), 9, np.uint8)
    drawn = [
        annotate(picture, Observation(0, 0.0, 0, name, 0.5))[40:] for name in (RARE, "\u00e9", "a long label " * 9)
    ]
    assert all(bar.any() for bar in drawn) and not np.array_equal(drawn[0], drawn[1])
