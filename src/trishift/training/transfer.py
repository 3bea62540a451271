"""A recipe for other clips than those a weight file was trained on, and the network with its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trishift.backends import open_session
from trishift.backends.session import Session
from trishift.checkpoints import import_weights
from trishift.data.prepare.folds import Folds
from trishift.errors import CheckpointError, RecipeError
from trishift.model.serialization import to_json
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec
from trishift.recipe import Recipe, recipe_from_dict, recipe_to_dict
from trishift.training.initial_weights import load_initial_weights
from trishift.zoo.sources import WeightSource, weight_source

_ANY_CLASSES = 2


def recipe_for(recipe: Recipe, weights: WeightSource, folds: Folds, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe with the network and the pixels of a weight file, a linear head and the classes of the clips.

    A file of images (one frame, no shift) only determines the backbone and its colors; the rest is the recipe's. With
    several labels per clip, `train.loss` becomes `bce` unless the recipe has a loss for several labels.

    Args:
        recipe: determines everything else.
        weights: a weight file of any supported family, a published name or an address.
        folds: the clips.
        overrides: `section.key=value` texts, applied last.

    Raises:
        CheckpointError: the file is unreadable or describes no network.
        RecipeError: the result or an override is invalid.
    """
    return _recipe_for(recipe, weights, len(folds.labels), folds.multi_label, overrides)


def check_overrides(recipe: Recipe, weights: WeightSource, overrides: Sequence[str]) -> None:
    """Refuse overrides that are wrong for any clips, before the clips are read. Raises like `recipe_for`."""
    try:
        _recipe_for(recipe, weights, _ANY_CLASSES, False, overrides)
    except RecipeError as error:
        try:
            _recipe_for(recipe, weights, _ANY_CLASSES, True, overrides)
        except RecipeError:
            raise error from None


def _recipe_for(
    recipe: Recipe, weights: WeightSource, num_classes: int, multi_label: bool, overrides: Sequence[str]
) -> Recipe:
    checkpoint, _ = import_weights(weights.fetch(), fallback=recipe.model)
    if checkpoint.spec is None or checkpoint.input is None:
        raise CheckpointError(f"{weights}: does not describe its network; convert it with trishift convert")
    model, pixels = _network(recipe, checkpoint.spec, checkpoint.input)
    model = replace(model, num_classes=num_classes, head=HeadSpec(), multi_label=multi_label)
    data = recipe_to_dict(recipe, secrets=True)
    if pixels.crop != recipe.input.crop:  # the recipe's training size belongs to its own crop
        data["data"]["augmentation"]["size"] = None
    train = {**data["train"], "initial_weights": weights.text, "new_head": True}
    if multi_label and not recipe.train.loss.multi_label:
        train["loss"] = {"name": "bce"}
    changed = {**data, "model": to_json(model), "input": to_json(pixels), "train": train}
    return recipe_from_dict(changed, str(weights), overrides)


def _network(recipe: Recipe, spec: ModelSpec, pixels: InputSpec) -> tuple[ModelSpec, InputSpec]:
    if spec.num_segments > 1 or spec.shift is not None or spec.motion is not None:
        return replace(spec, dropout=recipe.model.dropout), pixels
    model = replace(recipe.model, backbone=spec.backbone, width=spec.width)
    return model, replace(pixels, resize=recipe.input.resize, crop=recipe.input.crop)


def open_transfer(recipe: Recipe, framework: str, labels: Sequence[str]) -> Session:
    """The recipe's network with its initial weights and a new head."""
    session = open_session(framework, recipe.model, recipe.execution, recipe.train.seed)
    load_initial_weights(recipe, session, weight_source(str(recipe.train.initial_weights)).fetch(), labels)
    return session
