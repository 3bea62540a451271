"""Names of splits, as folders, columns and files spell them."""

from __future__ import annotations

import re

_SPLIT_NAME = re.compile(
    r"(train(ing)?|val(id|idate|idation)?|dev|test(ing)?)([-_ ]?(set|split|data|clips|videos|frames))?", re.IGNORECASE
)


def split_of(name: str) -> str | None:
    """`train`, `val` or `test` if a folder or cell is named like a split, otherwise None."""
    if not _SPLIT_NAME.fullmatch(name):
        return None
    return next((split for split in ("train", "test") if name.lower().startswith(split)), "val")
