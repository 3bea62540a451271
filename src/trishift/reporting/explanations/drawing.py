"""The film strip and the contributions of an explained clip, as charts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trishift.io.atomic import write_atomically
from trishift.reporting.explanations.content import ExplainedClip
from trishift.reporting.fonts import label_fonts
from trishift.reporting.pages.charts import COLORS, Draw, png, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PER_ROW = 4
_GAP = 6  # pixels
_SIDE = 224
SHOWN_RELATIONS = 3
_MOST_SCALES = 8
_MOST_TICKS = 16


def panels(content: ExplainedClip) -> list[Draw]:
    """What can be drawn about contributions: those of the segments, and for TRN those of the relations."""
    drawn: list[Draw] = [partial(_draw_contributions, content)]
    return drawn + ([partial(_draw_relations, content)] if content.explanation.relations else [])


def write_strip(content: ExplainedClip, path: Path) -> None:
    """Write the film strip with its contributions as PNG."""
    with label_fonts([content.title]):
        write_atomically(path, lambda file: png(file, partial(_draw_frames, content), *panels(content)))


def _draw_frames(content: ExplainedClip, axes: Axes) -> None:
    pictures, (height, width) = content.heated(), content.pictures.shape[1:3]
    columns = min(_PER_ROW, len(pictures))
    rows = -(-len(pictures) // columns)
    gap = max(1, round(_GAP * width / _SIDE))
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
        box = {"facecolor": "black", "alpha": 0.6, "pad": 1.5, "linewidth": 0}
        corner = (left + 0.04 * width, top + 0.05 * height)
        axes.text(*corner, str(place + 1), color="white", fontsize=9, weight="bold", va="top", bbox=box)
    axes.imshow(sheet, interpolation="lanczos")
    axes.set_axis_off()
    axes.set_title(content.title)


def _draw_contributions(content: ExplainedClip, axes: Axes) -> None:
    places = np.arange(1, len(content.numbers) + 1)
    for number, (name, values) in enumerate(content.contributions.items()):
        axes.bar(places + 0.4 * number - 0.2, values, 0.38, label=name, color=style(number)["color"])
    axes.axhline(0, color=COLORS["soft"], linewidth=0.8)
    axes.set(
        xlabel="segment",
        ylabel="logit",
        title="Contribution of each segment",
        xticks=places if len(places) <= 16 else [],
    )
    axes.margins(y=0.18)
    axes.legend(loc="upper left", fontsize=9, ncols=2)
    axes.grid(visible=False, axis="x")


def _draw_relations(content: ExplainedClip, axes: Axes) -> None:
    scales = content.explanation.relations
    each = SHOWN_RELATIONS if len(scales) == 1 else 1
    rows = [relation for scale in scales[-_MOST_SCALES:] for relation in scale[:each]]
    places = np.arange(len(rows))[::-1]
    values = [relation.contribution for relation in rows]
    axes.barh(places, values, 0.7, color=[COLORS["blue" if value >= 0 else "orange"] for value in values])
    axes.set_yticks(places, [" ".join(str(place + 1) for place in relation.segments) for relation in rows], fontsize=9)
    axes.axvline(0, color=COLORS["soft"], linewidth=0.8)
    axes.set(xlabel="logit", ylabel="segments", title="Strongest relation of each scale")
    axes.grid(visible=False, axis="y")
