"""`trishift eval`: evaluate weights on a list of videos under a protocol."""

from __future__ import annotations

from pathlib import Path

from trishift.checkpoints.files import weight_path
from trishift.commands.shared.arguments import (
    add_execution,
    add_framework,
    add_import_options,
    add_runtime,
    make_parser,
)
from trishift.commands.shared.inputs import load_model
from trishift.errors import RecipeError

EXAMPLES = """\
  trishift eval --checkpoint runs/gestures-tsm/best.safetensors
  trishift eval --checkpoint tsm_k400.pth --num-segments 8 --config configs/kinetics/tsm_r50_8f.yaml \\
      --framework paddle --protocol dense --output result.json
  trishift eval --checkpoint best.onnx --runtime openvino --precision bf16
"""


def main(arguments: list[str]) -> None:
    """Parse, evaluate, print and write."""
    parser = make_parser("eval", "Evaluate weights; key=value overrides entries of the recipe.", EXAMPLES)
    parser.add_argument(
        "--checkpoint", type=weight_path, required=True, help="weights of any family, or an exported model"
    )
    parser.add_argument("--config", type=Path, help="recipe that names the data; default: the one in the checkpoint")
    add_framework(parser)
    add_runtime(parser)
    add_execution(parser)
    add_import_options(parser)
    parser.add_argument("--protocol", help="named evaluation protocol; overrides the recipe's")
    parser.add_argument("--output", type=Path, help="result.json; scores and per-class results are written beside it")
    parser.add_argument("--batch-size", type=int, default=8, help="videos per batch; default: 8")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override of a recipe entry")
    options = parser.parse_intermixed_args(arguments)

    from trishift.data.dataset import open_evaluation_set
    from trishift.data.protocol import named_protocol
    from trishift.evaluation.evaluator import evaluate
    from trishift.recipe import load_recipe, recipe_from_dict
    from trishift.reporting.evaluation import write_evaluation

    model = load_model(options)
    print(model.report)
    if options.config:
        recipe = load_recipe(options.config, options.overrides)
    elif model.meta.get("recipe"):
        recipe = recipe_from_dict(model.meta["recipe"], str(options.checkpoint), options.overrides)
    else:
        raise RecipeError(f"{options.checkpoint}: contains no recipe; name the data with --config")
    protocol = named_protocol(options.protocol) if options.protocol else recipe.evaluation
    dataset = open_evaluation_set(recipe.data, model.input, model.spec, protocol, model.labels, str(options.checkpoint))
    if dataset.num_classes != model.spec.num_classes:
        raise RecipeError(
            f"{recipe.data.labels}: {dataset.num_classes} classes, but the checkpoint has {model.spec.num_classes}"
        )
    evaluation = evaluate(model.session, dataset, batch_size=options.batch_size, workers=recipe.data.workers)
    if model.session.rank == 0:
        print(evaluation)
        for name, reason in evaluation.misses:
            print(f"missed {name}: {reason}")
        if options.output:
            context = {"checkpoint": str(options.checkpoint), "framework": model.session.framework}
            print(f"written: {write_evaluation(evaluation, options.output, **context)}")
    model.session.close()
