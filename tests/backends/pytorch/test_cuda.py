"""PyTorch on an NVIDIA GPU: equal to the CPU in float32, close to it in mixed precision, alone and as a rank."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from testing import golden_records, originals
from testing.weights import smooth_weights
from tests.support import golden_worker
from tests.support.parity.cases import Case, cases, redrawn
from tests.support.parity.comparison import GAP, compare
from tests.support.parity.gate import Outcome
from tests.support.parity.measurement import measure

import trishift
from trishift.backends import open_session
from trishift.backends.contract import Execution, MicroBatch
from trishift.backends.pytorch.temporal_shift import temporal_shift
from trishift.model.spec import ModelSpec, ShiftSpec
from trishift.recipe import TrainSpec
from trishift.training.parameter_groups import optimization_plan

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and a CUDA build of PyTorch")

GPU = Execution(device="gpu")
SMALL = ModelSpec("resnet18", 5, num_segments=4, width=16, shift=ShiftSpec())
FAMILIES = ("tsm resnet50", "trn resnet18 multi-scale", "tsm mobilenet_v2 online", "tsm bn_inception", "msn resnet14")


@pytest.fixture(autouse=True)
def exact_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


@pytest.mark.parametrize("case", [case for case in cases() if case.name in FAMILIES], ids=lambda case: case.name)
@pytest.mark.parametrize("channels_last", [False, True])
def test_float32_matches_the_cpu(case: Case, channels_last: bool) -> None:
    execution = dataclasses.replace(GPU, channels_last=channels_last)
    outcome = Outcome(case.name)
    while outcome.pending:
        (drawn,) = redrawn([case], outcome.draws)
        expected, measured = measure(drawn, "pytorch"), measure(drawn, "pytorch", execution)
        gap = min(float(expected[GAP]), float(measured.pop(GAP)))
        outcome.add(compare(drawn, "pytorch", expected, measured), gap)
    print(channels_last, outcome)
    assert outcome.passes, outcome.failures


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("options", [{}, {"channels_last": True}, {"compile": True}], ids=str)
def test_mixed_precision_trains_like_float32(precision: str, options: dict) -> None:
    rng = np.random.default_rng(0)
    clips = rng.standard_normal((8, 4, 3, 64, 64)).astype(np.float32)
    targets = np.arange(8) % 5

    def losses(execution: Execution) -> np.ndarray:
        session = open_session("pytorch", SMALL, execution)
        session.prepare_training(optimization_plan(session.parameters(), TrainSpec(clip_norm=5.0), "rgb"))
        steps = [session.train_step([MicroBatch(clips, targets)], 0.01) for _ in range(20)]
        assert np.isfinite([step.gradient_norm for step in steps][-5:]).all()
        return np.array([step.loss for step in steps])

    full, mixed = losses(GPU), losses(dataclasses.replace(GPU, precision=precision, **options))
    print(full[[0, 9, 19]], mixed[[0, 9, 19]])
    assert mixed[-1] < 0.7 * mixed[0]
    assert np.allclose(mixed, full, rtol=0.15, atol=0.1)


SHIFTS = [ShiftSpec(), ShiftSpec(order="past_first"), ShiftSpec(direction="unidirectional"), ShiftSpec(div=4)]


@pytest.mark.parametrize("shift", SHIFTS, ids=str)
def test_shift_kernel_moves_the_same_features(shift: ShiftSpec) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for layout in (torch.contiguous_format, torch.channels_last):
            for channels, side in ((64, 5), (16, 7), (256, 14)):
                x = torch.randn(6, channels, side, side, dtype=dtype).to(memory_format=layout)
                on_gpu = x.cuda().requires_grad_()
                shifted = temporal_shift(on_gpu, 3, shift)
                assert torch.equal(shifted.cpu(), temporal_shift(x, 3, shift))
                x.requires_grad_()
                (temporal_shift(x, 3, shift) * x.detach()).sum().backward()
                (shifted * on_gpu.detach()).sum().backward()
                assert torch.equal(on_gpu.grad.cpu(), x.grad)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
@pytest.mark.parametrize("shift", [None, *SHIFTS], ids=str)
def test_fused_form_computes_the_same_also_when_it_is_replayed(precision: str, shift: ShiftSpec | None) -> None:
    spec = ModelSpec("resnet50", 5, num_segments=4, shift=shift, dropout=0.0)
    weights = smooth_weights(spec)
    plain = open_session("pytorch", spec, GPU, weights=weights)
    fused = open_session(
        "pytorch", spec, dataclasses.replace(GPU, precision=precision), weights=weights, form="fused", strict=True
    )
    rng = np.random.default_rng(0)
    for batch in (2, 2, 2, 2, 2, 3, 2):  # recorded at the fourth call
        clips = rng.standard_normal((batch, 4, 3, 64, 64), np.float32)
        expected, found = plain.predict(clips), fused.predict(clips)
        tolerance = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 0.1}[precision]
        assert np.abs(found - expected).max() < tolerance * np.abs(expected).max()


def test_stream_matches_the_clip() -> None:
    spec = dataclasses.replace(SMALL, shift=ShiftSpec(direction="unidirectional"))
    session = open_session("pytorch", spec, GPU)
    clips = np.random.default_rng(0).standard_normal((2, 4, 3, 64, 64)).astype(np.float32)
    state, logits = None, []
    for frames in clips.transpose(1, 0, 2, 3, 4):
        out, state = session.step(np.ascontiguousarray(frames), state)
        logits.append(out)
    assert np.allclose(np.mean(logits, axis=0), session.predict(clips), rtol=1e-4, atol=1e-5)


RANK = """
import numpy as np
from testing.weights import smooth_weights

import trishift
from trishift.backends import open_session
from trishift.backends.contract import Execution, MicroBatch
from trishift.recipe import TrainSpec
from trishift.training.parameter_groups import optimization_plan
from trishift.model.spec import ModelSpec, ShiftSpec
for sync in (False, True):
    session = open_session("pytorch", ModelSpec("resnet18", 5, num_segments=4, width=16, shift=ShiftSpec()),
                           Execution(device="gpu", distributed=True, sync_batch_norm=sync, precision="bf16"))
    session.prepare_training(optimization_plan(session.parameters(), TrainSpec(), "rgb"))
    clips = np.random.default_rng(0).standard_normal((8, 4, 3, 64, 64)).astype(np.float32)
    steps = [session.train_step([MicroBatch(clips, np.arange(8) % 5)], 0.01).loss for _ in range(5)]
    assert steps[-1] < steps[0] and np.isfinite(steps).all(), steps
    assert np.array_equal(session.gather(np.arange(3)), np.arange(3))
    session.barrier()
    session.close()
print("RANK DONE")
"""


def test_rank_joins_nccl_and_synchronizes_norms(tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "1", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=300, check=False)
    assert done.returncode == 0 and "RANK DONE" in done.stdout, done.stderr[-3000:]


@pytest.mark.parametrize("name", originals.records())
def test_published_file_reproduces_its_logits(name: str, tmp_path: Path) -> None:
    entry = originals.record(name)
    model = trishift.load(originals.write_record(entry, tmp_path), execution=GPU, **golden_worker.options(name))
    expected = golden_records.logits(entry)
    found = model(golden_records.clips(entry, model.spec))
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-4
