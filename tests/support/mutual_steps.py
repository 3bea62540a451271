"""Three joint steps of two students that differ, in one framework; the same weights, clips and draws in each."""

from __future__ import annotations

import sys

import numpy as np
from testing.weights import smooth_weights

from trishift.backends import open_session
from trishift.backends.contract import Execution, MicroBatch
from trishift.model.spec import ModelSpec, ShiftSpec
from trishift.recipe import Recipe, TrainSpec
from trishift.recipe.options import DistillationSpec, PeerSpec
from trishift.training.draws import draw_step
from trishift.training.mutual import Peer
from trishift.training.parameter_groups import optimization_plan

PEER = PeerSpec("resnet14_vd", negative_slope=0.01, dropout=0.5, head_lr_mult=5.0)
MODEL = ModelSpec("resnet10", 5, num_segments=4, width=8, shift=ShiftSpec(4, order="past_first"), dropout=0.2)
LR = 1e-3


def main(framework: str, output: str) -> None:
    """Write losses and the weights of both."""
    distillation = DistillationSpec(mutual=True, joint=True, peer=PEER, temperature=1.0)
    train = TrainSpec(distillation=distillation, head_lr_mult=1.0, clip_norm=None, nesterov=True)
    recipe = Recipe(model=MODEL, train=train, execution=Execution(compile=False))
    student = open_session(framework, MODEL, recipe.execution)
    peer = Peer(recipe, student)
    peer.restore(train, 0, {})
    for session in (student, peer.session):
        session.load_tensors(smooth_weights(session.spec))
    student.prepare_training(optimization_plan(student.parameters(), train, "rgb"))
    clips = np.random.default_rng(0).standard_normal((4, 4, 3, 64, 64)).astype(np.float32)
    losses = []
    for step in range(3):
        batches = [MicroBatch(clips, np.arange(4), draw_step(MODEL, 4, 0, step))]
        losses.append(student.train_step(peer.learn(batches, LR, step), LR).loss)
    both = {"student": student, "peer": peer.session}
    weights = {f"{who} {name}": array for who, each in both.items() for name, array in each.dump_tensors().items()}
    np.savez(output, losses=np.array(losses), **weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
