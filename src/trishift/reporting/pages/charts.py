"""Charts, drawn once by matplotlib without a display: PNG files, and SVG whose colors follow the style of its page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

COLORS = {  # of the light style; each stands for the variable of this name in style.css
    "ground": "#ffffff",
    "ink": "#1b1f24",
    "soft": "#5b6470",
    "line": "#d9dde3",
    "blue": "#1f6fb8",
    "orange": "#c2620a",
    "green": "#0b7a5b",
    "pink": "#a84a86",
}
SERIES = ("blue", "orange", "green", "pink")  # distinguishable by color-blind readers
_DASHES = ("-", "--", "-.", ":")
_INCHES = (5.2, 3.2)  # as wide as a phone, so that letters are as large there as the text of the page
_RC: Any = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "text.parse_math": False,  # of names with dollar signs
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "trishift",  # the same chart is the same file
    "text.color": COLORS["ink"],
    "axes.titlecolor": COLORS["ink"],
    "axes.labelcolor": COLORS["soft"],
    "axes.edgecolor": COLORS["soft"],
    "xtick.color": COLORS["soft"],
    "ytick.color": COLORS["soft"],
    "grid.color": COLORS["line"],
}
Draw = Callable[["Axes"], None]
"""Draws a chart. Texts from files must be `printable`."""


def style(number: int) -> dict[str, Any]:
    """Color and dashes of a line, by its number."""
    return {"color": COLORS[SERIES[number % len(SERIES)]], "linestyle": _DASHES[number // len(SERIES) % len(_DASHES)]}


class Chart:
    """A chart, drawn once and written in both forms."""

    def __init__(self, draw: Draw) -> None:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        with rc_context(_RC):
            self._figure: Figure = Figure(figsize=_INCHES, layout="constrained")
            FigureCanvasAgg(self._figure)
            draw(self._figure.add_subplot())

    def svg(self) -> Markup:
        """Inline SVG, whose colors are variables of the page's style."""
        text = self._saved(format="svg", transparent=True, metadata={"Date": None, "Creator": None}).decode("utf-8")
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
        text = re.sub(r' width="\S+pt" height="\S+pt"', ' role="img"', text, count=1)
        text = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", text)
        for name, color in COLORS.items():
            text = text.replace(color, f"var(--{name})")
        return Markup(text)  # matplotlib escapes its texts

    def picture(self) -> Image:
        """The chart in the light style."""
        from PIL import Image

        return Image.open(io.BytesIO(self._saved(format="png", dpi=160, facecolor=COLORS["ground"])))

    def _saved(self, **options: Any) -> bytes:
        from matplotlib import rc_context

        buffer = io.BytesIO()
        with rc_context(_RC):
            self._figure.savefig(buffer, **options)
        self._figure.set_layout_engine("none")  # the layout stays as it is
        return buffer.getvalue()


def svg(panel: Draw) -> Markup:
    """A chart that is only shown on a page."""
    return Chart(panel).svg()


def png(file: BinaryIO, *charts: Chart | Draw) -> None:
    """Write charts below each other as one picture."""
    from PIL import Image

    parts = [(chart if isinstance(chart, Chart) else Chart(chart)).picture() for chart in charts]
    whole = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)), COLORS["ground"])
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    whole.save(file, "PNG")
