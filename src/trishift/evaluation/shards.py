"""Parts of a list, to divide work between machines and processes.

Parts consist of whole batches, so that every video is computed in the same company as without parts: rounding in a
framework can depend on the size of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from trishift.errors import RecipeError

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count` parts of a list."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Parse `2/8`; raises RecipeError for anything else."""
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise RecipeError(f"shard {text!r}: write i/n with i from 1 to n, for instance 2/8")
        return cls(int(index), int(count))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, items: Sequence[_Item], batch: int = 1) -> Sequence[_Item]:
        """Consecutive items of this part, in whole batches; all parts in order are the whole list.

        Example:
            >>> from trishift.evaluation.shards import Shard
            >>> Shard(1, 2).of("abcdefg", batch=2), Shard(2, 2).of("abcdefg", batch=2)
            ('abcd', 'efg')
        """
        batches = -(-len(items) // batch)
        start, end = (batches * each // self.count * batch for each in (self.index - 1, self.index))
        return items[start:end]

    def turns(self, items: Sequence[int] | np.ndarray, batch: int = 1) -> np.ndarray:
        """Every `count`-th batch of numbers, so that the results of all parts arrive in the order of the list.

        Example:
            >>> from trishift.evaluation.shards import Shard
            >>> Shard(1, 2).turns(range(7), batch=2), Shard(2, 2).turns(range(7), batch=2)
            (array([0, 1, 4, 5]), array([2, 3, 6]))
        """
        numbers = np.asarray(items, np.int64)
        return numbers[np.arange(len(numbers)) // batch % self.count == self.index - 1]
