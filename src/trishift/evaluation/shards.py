"""Parts of a list, to divide work between processes or machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from trishift.errors import RecipeError

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count` equal parts of a list: every `count`-th item."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse `2/8`; raises RecipeError for anything else."""
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise RecipeError(f"shard {text!r}: write i/n with i from 1 to n, for instance 2/8")
        return cls(int(index), int(count))

    def of(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """The items of this part."""
        return items[self.index - 1 :: self.count]
