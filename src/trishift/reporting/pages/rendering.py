"""Pages from templates. A page is one file: pictures, style and scripts are inside it, and nothing is fetched.

A template extends `base.html`, which documents its blocks, and imports its parts from `parts.html`. Every text is
escaped, control characters included, so that no clip or class name can change a page; only `Markup` passes as is.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from trishift.errors import without_secrets
from trishift.io.terminal import printable

if TYPE_CHECKING:
    from jinja2 import Environment
    from PIL.Image import Image

_JPEG_QUALITY = 82


def render(template: str, **values: Any) -> str:
    """The text of a page.

    Args:
        template: file name in this package.
        values: variables of the template; an unknown one is an error.

    Example:
        >>> from trishift.reporting.pages.rendering import render
        >>> "&lt;b&gt;clip" in render("base.html", title="<b>clip")
        True
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("trishift.reporting", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": percent, "number": number, "sentence": sentence}
    return made


def _shown(value: Any) -> Any:
    """A value as it appears on a page: texts without control characters, passwords and tokens."""
    return printable(without_secrets(value)) if isinstance(value, str) and not isinstance(value, Markup) else value


def percent(value: float | None, digits: int = 1) -> str:
    """A share in percent; a dash where it is undefined (None or NaN).

    Example:
        >>> from trishift.reporting.pages.rendering import percent
        >>> percent(0.9789), percent(float("nan"))
        ('97.9\\xa0%', '–')
    """
    return "–" if value is None or value != value else f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%"


def sentence(text: str) -> str:
    """A text with a capital first letter, unless its first word has capitals already.

    Example:
        >>> from trishift.reporting.pages.rendering import sentence
        >>> sentence("single frames do"), sentence("mAP over clips")
        ('Single frames do', 'mAP over clips')
    """
    return text if any(map(str.isupper, text.partition(" ")[0])) else text[:1].upper() + text[1:]


def number(value: float | None, digits: int = 3) -> str:
    """A number with separators of thousands; a dash where it is undefined (None or NaN)."""
    return "–" if value is None or value != value else f"{value:,.{digits}f}"


def data_uri(content: bytes, kind: str) -> str:
    """The address of content inside a page; `kind` is its MIME type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture_uri(picture: Image) -> str:
    """The address of a photograph inside a page, as JPEG."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return data_uri(buffer.getvalue(), "image/jpeg")
