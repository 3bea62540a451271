"""MindSpore's ONNX files of layers that its own exporter gets wrong; see `test_session.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from mindspore import Tensor, nn

from trishift.backends.mindspore.bn_inception import ConvNormRelu
from trishift.backends.mindspore.exporting import write_program
from trishift.backends.program import ProgramSpec
from trishift.model.spec import ModelSpec


class TallThenWide(nn.Cell):
    """The first frame of a clip (N, T, C, H, W), after convolutions that pad rows only, then columns only."""

    def __init__(self) -> None:
        super().__init__()
        self.tall, self.wide = ConvNormRelu(3, 4, (7, 1)), ConvNormRelu(4, 2, (1, 3))

    def construct(self, clips: Tensor) -> Tensor:
        return self.wide(self.tall(clips[:, 0]))


def test_unevenly_padded_convolutions(tmp_path: Path) -> None:
    network, path = TallThenWide().set_train(False), tmp_path / "convs.onnx"
    spec = ProgramSpec(ModelSpec("resnet10", 2, num_segments=1), (5, 8), batch=1)
    rng = np.random.default_rng(0)
    for parameter in network.trainable_params():
        parameter.set_data(Tensor(rng.uniform(-0.5, 0.5, parameter.shape).astype(np.float32)))
    clips = rng.standard_normal((1, 1, 3, 5, 8)).astype(np.float32)
    expected = network(Tensor(clips)).asnumpy()
    write_program(network, spec, "onnx", path, {}, opset=17)
    session = onnxruntime.InferenceSession(str(path))
    (found,) = session.run(None, {session.get_inputs()[0].name: clips})
    assert (expected > 0).mean() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
