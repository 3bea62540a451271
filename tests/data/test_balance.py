from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from trishift.data.balance import BalanceSpec, balanced_order, check_balance, class_shares
from trishift.errors import DataError, RecipeError
from trishift.recipe import load_recipe, recipe_from_dict

COUNTS = np.array([100, 25, 4])
LABELS = np.repeat(np.arange(3), COUNTS)


def order(spec: BalanceSpec, seed: int = 0) -> np.ndarray:
    return balanced_order(LABELS, spec, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("spec", "weights"),
    [
        (BalanceSpec("class"), [1, 1, 1]),
        (BalanceSpec("square_root"), [10, 5, 2]),
        (BalanceSpec("effective_number", beta=0), [100, 25, 4]),
        (BalanceSpec("effective_number", beta=0.9), [n * 0.1 / (1 - 0.9**n) for n in (100, 25, 4)]),
        (BalanceSpec("effective_number", beta=1 - 1e-9), [1, 1, 1]),
    ],
    ids=str,
)
def test_classes_have_their_share_of_an_epoch(spec: BalanceSpec, weights: list[float]) -> None:
    shares = np.array(weights) / sum(weights)
    np.testing.assert_allclose(class_shares(COUNTS, spec), shares, rtol=1e-5)
    for seed in range(5):
        drawn = order(spec, seed)
        assert len(drawn) == len(LABELS)
        assert (abs(np.bincount(LABELS[drawn], minlength=3) - len(LABELS) * shares) < 1 + 1e-6).all()
        uses = np.bincount(drawn, minlength=len(LABELS))
        assert all(np.ptp(uses[label == LABELS]) <= 1 for label in range(3))


def test_order_is_random_and_depends_only_on_the_generator() -> None:
    spec = BalanceSpec("class")
    np.testing.assert_array_equal(order(spec), order(spec))
    assert not np.array_equal(order(spec), order(spec, 1))
    labels = LABELS[order(spec)]
    assert sum(one != other for one, other in pairwise(labels)) > 60  # not sorted by class
    everything = {int(index) for seed in range(30) for index in order(spec, seed)}
    assert everything == set(range(len(LABELS)))


def test_classes_without_clips_are_named() -> None:
    check_balance(("a", "b"), np.array([1, 2]), "train.txt")
    with pytest.raises(DataError, match=r"train\.txt: there are no clips of 'b', 'c', so .*data\.balance=none"):
        check_balance(("a", "b", "c"), np.array([1, 0, 0]), "train.txt")
    assert class_shares(np.array([3, 0]), BalanceSpec("class")).tolist() == [1, 0]


def test_recipe_names_the_rule(tmp_path: object) -> None:
    file = tmp_path / "recipe.yaml"  # type: ignore[operator]
    file.write_text("data: {balance: square_root}\n")
    assert load_recipe(file).data.balance == BalanceSpec("square_root")
    assert load_recipe(file, ["data.balance=none"]).data.balance == BalanceSpec()
    with pytest.raises(RecipeError, match=r"data\.balance\.beta: 1 is not in \[0, 1\)"):
        load_recipe(file, ["data.balance.beta=1"])
    with pytest.raises(RecipeError, match=r"data\.balance\.by: clips with several labels cannot be balanced"):
        recipe_from_dict({"data": {"balance": {"by": "class"}}, "train": {"loss": {"name": "lsep"}}})
