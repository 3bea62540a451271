"""`trishift curve`: accuracy against the number of clips, and what more of them are worth."""

from __future__ import annotations

import json

from trishift.commands.shared.arguments import add_framework, check_positive
from trishift.commands.shared.outputs import add_json, notes_aside, print_json, status
from trishift.commands.shared.own_clips import add_own_clips, open_clips, recipe_of
from trishift.commands.shared.parser import make_parser

EXAMPLES = """\
  trishift curve my_clips --from mobilenet_v2.safetensors
  trishift curve my_clips --from tsm_kinetics.pth --groups '_(person[0-9]+)_' --more 500
  trishift curve my_clips --from mobilenetv2-imagenet --train train.epochs=10      (hours instead of minutes)
"""


def main(arguments: list[str]) -> None:
    """Parse, extract features, fit or train, print and write."""
    parser = make_parser("curve", "Fit accuracy against the number of clips: what are more of them worth?", EXAMPLES)
    add_own_clips(parser, "curve")
    add_framework(parser)
    text = "train the network on every share of the clips, as finetune does, instead of the probe"
    parser.add_argument("--train", action="store_true", help=text)
    parser.add_argument("--overwrite", action="store_true", help="with --train: replace other runs in the folder")
    add_json(parser)
    parser.add_argument("--more", type=int, default=200, metavar="N", help="additional clips to value; default: 200")
    options = parser.parse_intermixed_args(arguments)
    check_positive(options, "more")

    from trishift.io.atomic import write_atomically, write_text
    from trishift.reporting.learning_curve import draw
    from trishift.reporting.pages.charts import png
    from trishift.training.finetune import FineTuning
    from trishift.training.learning_curve import learning_curve, near_duplicates
    from trishift.training.probe_study import read_features
    from trishift.training.trained_curve import trained_curve
    from trishift.training.transfer import open_transfer

    with notes_aside(options):
        output, folds = open_clips(options)
        recipe = recipe_of(options, folds)
        session = open_transfer(recipe, options.framework, folds.labels)
        features, kept = read_features(recipe, session, folds)
        alike = near_duplicates(kept)
        if options.train:
            session.close()
            tuning = FineTuning(recipe, options.framework, kept, (recipe.train.seed,), output.absolute())
            curve = trained_curve(tuning, alike, overwrite=options.overwrite)
        else:
            curve = learning_curve(features, kept, alike, recipe.train.seed)
    found = curve.summary(options.more)
    write_text(output / "curve.json", json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    write_atomically(output / "curve.png", lambda file: png(file, lambda axes: draw(curve, options.more, axes)))
    if options.json:
        print_json(found)
    else:
        print(curve.report(options.more))
    status(f"written: {output / 'curve.json'}, curve.png")
