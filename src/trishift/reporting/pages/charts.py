"""Charts, drawn once by matplotlib without a display: PNG files, and SVG whose colors follow the style of its page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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


def style(number: int) -> dict[str, str]:
    """Color and dashes of a line, by its number."""
    return {"color": COLORS[SERIES[number % len(SERIES)]], "linestyle": _DASHES[number // len(SERIES) % len(_DASHES)]}


def svg(*panels: Draw) -> Markup:
    """The panels below each other as inline SVG, whose colors are variables of the page's style."""
    buffer = io.BytesIO()
    _save(panels, buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r' width="\S+pt" height="\S+pt"', ' role="img"', text, count=1)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", text)
    for name, color in COLORS.items():
        text = text.replace(color, f"var(--{name})")
    return Markup(text)  # matplotlib escapes its texts


def png(file: BinaryIO, *panels: Draw) -> None:
    """Write the panels below each other as a picture."""
    _save(panels, file, format="png", dpi=160, facecolor=COLORS["ground"])


def _save(panels: tuple[Draw, ...], file: BinaryIO, **options: Any) -> None:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_RC):
        figure: Figure = Figure(figsize=(_INCHES[0], _INCHES[1] * len(panels)), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, draw in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
            draw(axes)
        figure.savefig(file, **options)
