"""Sizes of pictures: (height, width) in pixels.

Recipes, checkpoints and exports write the size of a square as one number, and any other as [height, width]. Texts like
224x128 are refused: video tools mean width x height.
"""

from __future__ import annotations

from collections.abc import Sequence

from trishift.errors import RecipeError

Size = tuple[int, int]
WrittenSize = int | Size
SIZE_FORM = "a number of pixels, or [height, width]"


def size_of(written: WrittenSize | Sequence[int]) -> Size:
    """(height, width) of a size as it is written.

    Raises:
        RecipeError: `written` is neither a number nor two numbers.
    """
    sides = (written, written) if isinstance(written, int) else written
    if isinstance(sides, list | tuple) and len(sides) == 2 and all(type(side) is int for side in sides):  # no booleans
        return sides[0], sides[1]
    raise RecipeError(f"size: {written!r} is no size; write {SIZE_FORM}")


def parse_size(text: str) -> WrittenSize:
    """Read the size in a command line: `224`, or the height and the width, `128,224`.

    Raises:
        RecipeError: the text is neither.
    """
    sides = [int(side) for side in text.strip("[]").split(",") if side.strip().isdecimal()]
    if len(sides) not in (1, 2) or len(sides) != text.count(",") + 1:
        raise RecipeError(f"--size: {text!r} is no size; write a number of pixels, or HEIGHT,WIDTH such as 128,224")
    return written_size((sides[0], sides[-1]))


def written_size(size: Size) -> WrittenSize:
    """The inverse of `size_of`."""
    return size[0] if size[0] == size[1] else size


def covers(size: Size, other: Size) -> bool:
    """Whether a picture of a size contains one of another size."""
    return size[0] >= other[0] and size[1] >= other[1]


def size_text(size: Size) -> str:
    """A size in a message: `128 x 224`."""
    return f"{size[0]} x {size[1]}"
