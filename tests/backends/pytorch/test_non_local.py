"""The forms of the non-local block against their definition, position by position."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trishift.backends.pytorch.non_local import NonLocalBlock
from trishift.model.spec import NonLocalForm

SEGMENTS, CHANNELS, SIDE = 3, 6, 4


def linear(layer: torch.nn.Conv2d, x: np.ndarray) -> np.ndarray:
    """A 1x1 convolution of positions: (..., C) to (..., C')."""
    weight = layer.weight.detach().numpy()[:, :, 0, 0]
    return x @ weight.T + (0 if layer.bias is None else layer.bias.detach().numpy())


def pooled(x: np.ndarray) -> np.ndarray:
    """(T, H, W, C) to (T, H / 2, W / 2, C): 2x2 max-pooling."""
    return x.reshape(x.shape[0], SIDE // 2, 2, SIDE // 2, 2, -1).max((2, 4))


def definition(block: NonLocalBlock, clip: np.ndarray) -> np.ndarray:
    """The block's addition to one clip before batch norm, position by position: (T, C, H, W) in and out."""
    x = clip.transpose(0, 2, 3, 1)
    embedded = block.form != "gaussian"
    queries = (linear(block.theta, x) if embedded else x).reshape(SEGMENTS * SIDE**2, -1)
    keys = pooled(linear(block.phi, x) if embedded else x).reshape(SEGMENTS * SIDE**2 // 4, -1)
    values = pooled(linear(block.g, x)).reshape(len(keys), -1)
    sums = []
    for query in queries:
        if block.form == "concatenation":
            f = [max(0.0, linear(block.pair, np.concatenate([query, key]))[0]) for key in keys]
        else:
            f = [query @ key for key in keys]
        shares = np.exp(f) / np.exp(f).sum() if block.form.endswith("gaussian") else np.array(f) / len(keys)
        sums.append(shares @ values)
    y = linear(block.out, np.array(sums)).reshape(SEGMENTS, SIDE, SIDE, CHANNELS)
    return y.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("form", ["embedded_gaussian", "gaussian", "dot_product", "concatenation"])
def test_forms_equal_their_definitions(form: NonLocalForm) -> None:
    torch.manual_seed(0)
    block = NonLocalBlock(CHANNELS, SEGMENTS, form).double().eval()
    clips = torch.randn(2, SEGMENTS, CHANNELS, SIDE, SIDE, dtype=torch.float64)
    with torch.no_grad():
        result = (block(clips.flatten(0, 1)) - clips.flatten(0, 1)).unflatten(0, (2, SEGMENTS)).numpy()
    expected = np.stack([definition(block, clip) for clip in clips.numpy()])
    np.testing.assert_allclose(result, expected / np.sqrt(1 + block.bn.eps), rtol=1e-9, atol=1e-12)
