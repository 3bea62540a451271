"""A model as a folder to publish: weights, `config.json`, and a model card made of what the checkpoint knows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from trishift.checkpoints import Checkpoint, canonical
from trishift.checkpoints.canonical import CALIBRATION
from trishift.checkpoints.reading import describe_model
from trishift.checkpoints.verification import Difference
from trishift.errors import CheckpointError, DataError
from trishift.evaluation.metrics import Metrics, MultiLabelMetrics
from trishift.io.atomic import staged
from trishift.io.terminal import printable
from trishift.io.wording import plain, shown_first, unreadable
from trishift.model.cost import multiplications, num_parameters
from trishift.model.serialization import to_json
from trishift.model.spec import ModelSpec

WEIGHTS, CONFIG, CARD, PICTURE = "model.safetensors", "config.json", "README.md", "confusion.png"
_FIGURES = [figure.name for kind in (Metrics, MultiLabelMetrics) for figure in fields(kind)]


@dataclass(frozen=True)
class CardFacts:
    """What a model card states besides the checkpoint.

    Attributes:
        name: the model's name; for a hub, `owner/repo`.
        license: identifier such as `apache-2.0`.
        address: what `trishift.load` takes.
        evaluation: a `result.json` of `trishift eval`, with its confusion picture beside it.
        differences: comparison of the frameworks' logits.
    """

    name: str
    license: str
    address: str
    evaluation: Path | None = None
    differences: Sequence[Difference] = ()


def write_model_folder(folder: Path, checkpoint: Checkpoint, facts: CardFacts) -> int:
    """Write a new folder with weights, configuration and model card.

    Returns:
        The number of local paths in the recipe that were shortened to their last part.

    Raises:
        CheckpointError: the checkpoint describes no model.
        DataError: the evaluation cannot be read.
        OutputError: the folder exists or cannot be written.
    """
    if checkpoint.spec is None:
        raise CheckpointError(f"{facts.name}: describes no model; convert the weights with `trishift convert`")
    result = {} if facts.evaluation is None else read_result(facts.evaluation)
    picture = None if facts.evaluation is None else facts.evaluation.with_suffix(".confusion.png")
    recipe, shortened = _without_folders(checkpoint.meta.get("recipe"))
    meta = {**checkpoint.meta, "recipe": recipe} if recipe is not None else checkpoint.meta
    published = replace(checkpoint, meta=meta)
    with staged(folder) as new:
        new.mkdir()
        canonical.save(new / WEIGHTS, published)
        has_picture = picture is not None and picture.is_file()
        if has_picture and picture is not None:
            shutil.copyfile(picture, new / PICTURE)
        config = {"model": to_json(checkpoint.spec), "input": checkpoint.input and to_json(checkpoint.input)}
        (new / CONFIG).write_text(
            json.dumps({**config, "labels": checkpoint.labels, "meta": meta}, indent=1, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )
        (new / CARD).write_text(model_card(published, facts, result, has_picture), encoding="utf-8")
    return shortened


def model_card(checkpoint: Checkpoint, facts: CardFacts, result: Mapping[str, Any], has_picture: bool) -> str:
    """The text of a model card, with the metadata that hubs read."""
    head = {
        "license": facts.license,
        "library_name": "trishift",
        "pipeline_tag": "video-classification",
        "tags": ["video", "action-recognition", "trishift"],
    }
    lines = ["---", *yaml.safe_dump(head, sort_keys=False).splitlines(), "---", "", f"# {facts.name}", ""]
    spec = checkpoint.spec
    assert spec is not None
    lines += [*_sections(checkpoint, spec, facts), *_results(checkpoint, facts, result, has_picture)]
    return "\n".join(printable(line) for line in lines) + "\n"


def _sections(checkpoint: Checkpoint, spec: ModelSpec, facts: CardFacts) -> Iterator[str]:
    pixels, meta = checkpoint.input, checkpoint.meta
    size = 224 if pixels is None else pixels.crop
    cost = f", {multiplications(spec, size) / 1e9:.1f} billion multiplications per view" if spec.num_classes else ""
    yield f"Video action recognition with [Trishift](https://github.com/trishift/trishift): {describe_model(spec)}."
    yield ""
    yield f"* {num_parameters(spec) / 1e6:.2f} million parameters{cost}"
    if pixels is not None:
        yield f"* input: {plain(to_json(pixels))}"
    if checkpoint.labels:
        yield f"* classes: {shown_first(checkpoint.labels, 10)}"
    yield from (f"* {key}: {plain(meta[key])}" for key in ("framework", "version", "epoch", "origin") if meta.get(key))
    if calibration := meta.get(CALIBRATION):
        yield f"* calibrated for precision {calibration.get('precision')}: temperature {calibration['temperature']:.4g}"
    yield from ("", "## Use", "", "```python", "import trishift", "")
    yield f'model = trishift.load("{facts.address}")  # framework="pytorch", "mindspore" or "paddle"'
    yield 'model.predict("video.mp4", top_k=5)'
    yield from ("```", "")
    if recipe := meta.get("recipe"):
        yield from ("## Training", "")
        yield from (f"* {key}: {plain(recipe[key])}" for key in ("name", "data", "train") if recipe.get(key))
        yield ""


def _results(checkpoint: Checkpoint, facts: CardFacts, result: Mapping[str, Any], has_picture: bool) -> Iterator[str]:
    figures = {key: result[key] for key in _FIGURES if isinstance(result.get(key), float | int)}
    metrics = figures or checkpoint.meta.get("metrics") or {}
    if metrics:
        yield from ("## Results", "", "| metric | value |", "|---|---|")
        yield from (f"| {key} | {value:.4g} |" for key, value in metrics.items() if isinstance(value, float | int))
        known = (f"{key}: {plain(result[key])}" for key in ("protocol", "videos", "missed") if key in result)
        yield from ("", "; ".join(known) or "measured on the validation list during training", "")
    if has_picture:
        yield from (f"![Confusion matrix]({PICTURE})", "")
    if facts.differences:
        yield from (
            "## Parity of the frameworks",
            "",
            "| framework | largest relative difference of the logits |",
            "|---|---|",
        )
        yield from (f"| {each.framework} | {each.relative:.1e} |" for each in facts.differences)


def read_result(path: Path) -> dict[str, Any]:
    """Read a `result.json` of `trishift eval`; raises DataError if it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(unreadable(path, error)) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no result.json of trishift eval ({error}); check the path") from None
    if not isinstance(content, dict) or "protocol" not in content:
        raise DataError(f"{path}: is no result.json of trishift eval; check the path")
    return content


def _without_folders(value: Any) -> tuple[Any, int]:
    """A copy of a recipe in which local paths are their last parts, and the number of these paths."""
    if isinstance(value, dict):
        pairs = {key: _without_folders(inner) for key, inner in value.items()}
        return {key: inner for key, (inner, _) in pairs.items()}, sum(count for _, count in pairs.values())
    if isinstance(value, list):
        items = [_without_folders(inner) for inner in value]
        return [inner for inner, _ in items], sum(count for _, count in items)
    if isinstance(value, str) and (value.startswith(("~", "..")) or Path(value).is_absolute()):
        return Path(value).name, 1
    return value, 0
