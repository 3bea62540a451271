"""Numbers in environment variables."""

from __future__ import annotations

import math
import os

from trishift.errors import SettingError, shortened


def positive(variable: str, default: float) -> float:
    """The positive number in a variable, or the default if it is not set.

    Raises:
        SettingError: the variable holds something else.
    """
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise SettingError(f"{variable}={shortened(text)}: set it to a positive number, such as {default:g}")
    return number
