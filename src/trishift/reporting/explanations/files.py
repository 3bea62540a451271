"""Write an explained clip in the format of the file's suffix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trishift.io.atomic import write_text
from trishift.reporting.explanations.content import ExplainedClip
from trishift.reporting.explanations.drawing import write_strip
from trishift.reporting.explanations.film import write_film
from trishift.reporting.explanations.page import page_text

WRITERS: dict[str, Callable[[ExplainedClip, Path], None]] = {
    ".png": write_strip,
    ".mp4": write_film,
    ".html": lambda content, path: write_text(path, page_text(content)),
    ".json": lambda content, path: write_text(path, json.dumps(summary(content), indent=1, ensure_ascii=False) + "\n"),
}


def summary(content: ExplainedClip) -> dict[str, Any]:
    """Everything except the pictures, as JSON types."""
    explanation = content.explanation
    return {
        "clip": str(content.path),
        "class": explanation.label,
        "label": content.labels[explanation.label],
        "probability": float(content.probabilities[explanation.label]),
        "logits": explanation.logits.tolist(),
        "frames": content.numbers.tolist(),
        "seconds": None if content.times is None else content.times.tolist(),
        "by_gradient": explanation.by_gradient.tolist(),
        "left_out": explanation.left_out.tolist(),
        "maps": explanation.maps.tolist(),
        "relations": [
            [{"segments": list(each.segments), "contribution": each.contribution} for each in scale]
            for scale in explanation.relations
        ],
    }
