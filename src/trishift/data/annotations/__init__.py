"""Annotated parts of videos, as label tools and public data sets store them."""

from trishift.data.annotations.reading import FORMATS, read_annotations
from trishift.data.annotations.records import Annotation, Annotations

__all__ = ["FORMATS", "Annotation", "Annotations", "read_annotations"]
