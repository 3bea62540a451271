"""An explained clip as a page."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from trishift.io.wording import counted
from trishift.reporting.explanations.content import ExplainedClip
from trishift.reporting.explanations.drawing import SHOWN_RELATIONS, panels
from trishift.reporting.fonts import label_fonts
from trishift.reporting.pages.charts import svg
from trishift.reporting.pages.rendering import percent, picture_uri, render

_CLASSES = 5
_SIDE = 224  # of the pictures on the page; smaller ones are enlarged


def page_text(content: ExplainedClip) -> str:
    """The page."""
    label, order = content.explanation.label, np.argsort(-content.probabilities, kind="stable")[:_CLASSES]
    with label_fonts([content.title]):
        charts = [svg(panel) for panel in panels(content)]
    return render(
        "explanation.html",
        title=content.path.name,
        explained=content.labels[label],
        figures=[("probability", percent(content.probabilities[label]), content.labels[label])],
        classes=[(content.labels[place], float(content.probabilities[place])) for place in order],
        frames=_frames(content),
        rows=_rows(content),
        methods=list(content.contributions),
        charts=charts,
        scales=[
            (
                counted(len(scale[0].segments), "frame"),
                [content.relation_text(each) for each in scale[:SHOWN_RELATIONS]],
            )
            for scale in content.explanation.relations
        ],
    )


def _frames(content: ExplainedClip) -> list[dict[str, Any]]:
    height, width = content.pictures.shape[1:3]
    scale = max(1.0, _SIDE / min(height, width))
    size = (round(width * scale), round(height * scale))
    pictures = [Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR) for picture in content.heated()]
    return [
        {"picture": picture_uri(picture), "caption": f"{place}: {caption}", "value": None}
        for place, (picture, caption) in enumerate(zip(pictures, content.captions, strict=True), 1)
    ]


def _rows(content: ExplainedClip) -> list[tuple[str, list[float]]]:
    columns = [values.tolist() for values in content.contributions.values()]
    return [(caption, list(values)) for caption, *values in zip(content.captions, *columns, strict=True)]
