"""Pages: untrusted texts stay texts, nothing is fetched, and charts follow the style."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from jinja2 import UndefinedError
from PIL import Image

from trishift.errors import FrameworkError
from trishift.io.terminal import printable
from trishift.reporting.overlay import Window
from trishift.reporting.pages.charts import COLORS, Chart, png
from trishift.reporting.pages.rendering import picture_uri, render

HOSTILE = "<script>alert(1)</script>\x1b[31m\n$x^2$ https://ann:pw@example.org/a\udcff"


def test_texts_stay_texts() -> None:
    page = render("base.html", title=HOSTILE)
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "\x1b" not in page and "\\u001b[31m\\n" in page
    assert "ann:pw" not in page
    page.encode("utf-8")


def test_missing_variables_are_errors() -> None:
    with pytest.raises(UndefinedError, match="title"):
        render("base.html")


def test_charts_are_drawn_once_for_pages_and_files() -> None:
    def panel(axes: object) -> None:
        axes.plot([0, 1], [0, 1], color=COLORS["blue"])  # type: ignore[attr-defined]
        axes.set_title(printable(HOSTILE))  # type: ignore[attr-defined]

    chart = Chart(panel)
    drawn = chart.svg()
    assert "var(--blue)" in drawn and "#1f6fb8" not in drawn and "system-ui" in drawn
    assert "<script" not in drawn and "$x^2$" in drawn and "width=" not in drawn[: drawn.index(">")]
    assert drawn == Chart(panel).svg()
    file = io.BytesIO()
    png(file, chart, chart)
    picture = Image.open(file)
    assert picture.height > picture.width


def test_pictures_are_inside_the_page() -> None:
    assert picture_uri(Image.new("RGB", (8, 8))).startswith("data:image/jpeg;base64,/9j/")


def test_charts_need_no_display() -> None:
    code = (
        "import io, sys; from trishift.reporting.pages.charts import png, svg; "
        "png(io.BytesIO(), lambda axes: axes.plot([1, 2])); svg(lambda axes: axes.plot([1, 2])); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environment, "MPLBACKEND": "TkAgg"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_window_without_a_display_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2")

    def refuse(*_: object) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", refuse)
    with pytest.raises(FrameworkError, match=r"no display\).* or remove --show"):
        Window()
